"""Opens connections; runs in the threads that use them."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from asyncbackends.errors import BackendError, ConfigurationError, ConnectionFailedError
from asyncbackends.native import allocate_lock
from asyncbackends_sqlite.driver_errors import is_busy, ours
from asyncbackends_sqlite.options import IN_MEMORY

__all__ = ("open_reader", "open_writer", "patiently")

ResultT = TypeVar("ResultT")

OLDEST_SQLITE = (3, 35, 0)
PAUSE = 0.002
# The writer asks again itself, so that it can see meanwhile that nobody waits any more; SQLite's
# own pauses grow to 100 ms, too long to find the gap between another process's commits.
WRITER_BUSY_MS = 10
READER_BUSY_MS = 1000
CACHED_STATEMENTS = 256
# Larger than SQLite's own 1 000: a checkpoint waits for the disk.
CHECKPOINT_PAGES = 4000


def open_writer(path: str, *, synchronous: str, create: bool, seconds: float) -> sqlite3.Connection:
    """Open the connection that writes; the file is made where it is missing and ``create``.

    :raises ConnectionFailedError: naming the path and why.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        message = f"SQLite {sqlite3.sqlite_version} is too old; the sqlite engine needs 3.35"
        raise ConfigurationError(message)
    connection = _connect(path, create=create)
    try:
        _configure(connection, path, synchronous, seconds)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise _refused(path, error) from error
        raise
    return connection


def _configure(connection: sqlite3.Connection, path: str, synchronous: str, seconds: float) -> None:
    connection.execute(f"PRAGMA busy_timeout = {WRITER_BUSY_MS}")
    if path != IN_MEMORY:
        mode = patiently(
            lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone()[0], seconds
        )
        if mode != "wal":
            message = f"{path}: SQLite cannot keep a write-ahead log there ({mode})"
            raise ConnectionFailedError(message)
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("PRAGMA temp_store = memory")
    connection.execute("PRAGMA cache_size = -32768")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")


def open_reader(path: str) -> sqlite3.Connection:
    """Open a connection that cannot write."""
    connection = _connect(path, create=False)
    connection.execute(f"PRAGMA busy_timeout = {READER_BUSY_MS}")
    connection.execute("PRAGMA query_only = 1")
    connection.execute("PRAGMA temp_store = memory")
    connection.execute("PRAGMA cache_size = -16384")
    return connection


def patiently(step: Callable[[], ResultT], seconds: float) -> ResultT:
    """Take a step that another process may keep from being taken for a while."""
    deadline = time.monotonic() + seconds
    pause = allocate_lock()
    pause.acquire()
    while True:
        try:
            return step()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
        # A lock that nobody releases: time.sleep is gevent's in a patched process.
        pause.acquire(True, PAUSE)


def _connect(path: str, *, create: bool) -> sqlite3.Connection:
    mode = "rwc" if create else "rw"
    target = path if path == IN_MEMORY else f"{Path(path).absolute().as_uri()}?mode={mode}"
    try:
        return sqlite3.connect(
            target,
            isolation_level=None,
            cached_statements=CACHED_STATEMENTS,
            uri=path != IN_MEMORY,
        )
    except sqlite3.Error as error:
        raise _refused(path, error) from error


def _refused(path: str, error: sqlite3.Error) -> BackendError:
    file = Path(path)
    if file.is_dir():
        return ConnectionFailedError(f"{path} is a folder; the endpoint is the path of a file")
    if not file.absolute().parent.is_dir():
        return ConnectionFailedError(f"the folder of {path} does not exist; make it first")
    if is_busy(error):
        return ConnectionFailedError(f"{path} is locked by another process; try again")
    found = ours(error) or ConnectionFailedError(str(error))
    found.args = (f"{path} cannot be opened: {found}",)
    return found
