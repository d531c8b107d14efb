"""What SQLite's errors are to a caller: one table."""

import sqlite3
from collections.abc import Callable
from typing import Final, NamedTuple

from asyncbackends.errors import (
    AccessDeniedError,
    BackendError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    InvalidRequestError,
    OperationTimeoutError,
    ResourceExhaustedError,
    SchemaVersionError,
    WriteContentionError,
)

__all__ = ("commit_error", "is_busy", "ours", "primary_code")


class _Meaning(NamedTuple):
    """Our error, what to say, and whether a COMMIT that ends so may have been applied."""

    error: Callable[[str], BackendError]
    words: str
    maybe_committed: bool = False


TABLE: Final = {
    sqlite3.SQLITE_PERM: _Meaning(AccessDeniedError, "the file may not be used so"),
    sqlite3.SQLITE_BUSY: _Meaning(WriteContentionError, "another process holds the file's lock"),
    sqlite3.SQLITE_LOCKED: _Meaning(WriteContentionError, "a table is locked"),
    sqlite3.SQLITE_NOMEM: _Meaning(ResourceExhaustedError, "no memory is left", True),
    sqlite3.SQLITE_READONLY: _Meaning(AccessDeniedError, "the file or its folder is read-only"),
    sqlite3.SQLITE_INTERRUPT: _Meaning(OperationTimeoutError, "the operation was interrupted"),
    sqlite3.SQLITE_IOERR: _Meaning(
        ConnectionLostError, "the file cannot be read or written; look at the disk", True
    ),
    sqlite3.SQLITE_CORRUPT: _Meaning(
        ConnectionLostError, "the file is damaged; restore it from a backup", True
    ),
    sqlite3.SQLITE_FULL: _Meaning(ResourceExhaustedError, "the disk or the file is full"),
    sqlite3.SQLITE_CANTOPEN: _Meaning(ConnectionFailedError, "a file cannot be opened"),
    sqlite3.SQLITE_PROTOCOL: _Meaning(WriteContentionError, "the file's lock could not be had"),
    sqlite3.SQLITE_SCHEMA: _Meaning(WriteContentionError, "the tables were changed meanwhile"),
    sqlite3.SQLITE_TOOBIG: _Meaning(InvalidRequestError, "a value is larger than SQLite takes"),
    sqlite3.SQLITE_NOLFS: _Meaning(ResourceExhaustedError, "the file system takes no larger file"),
    sqlite3.SQLITE_AUTH: _Meaning(AccessDeniedError, "the statement is not allowed"),
    sqlite3.SQLITE_NOTADB: _Meaning(ConfigurationError, "the file is not a SQLite database"),
    sqlite3.SQLITE_ERROR: _Meaning(
        SchemaVersionError, "the tables are not those that this adapter made"
    ),
}


def primary_code(error: sqlite3.Error) -> int:
    """Give SQLite's result code without its extension."""
    code: int = getattr(error, "sqlite_errorcode", -1)
    return code & 0xFF if code >= 0 else -1


def is_busy(error: sqlite3.Error) -> bool:
    """Say whether somebody else held a lock."""
    return primary_code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL}


def ours(error: Exception) -> BackendError | None:
    """Give our error for the driver's, whose write was not applied."""
    if isinstance(error, OverflowError):
        return InvalidRequestError(f"a number is larger than SQLite takes: {error}")
    if not isinstance(error, sqlite3.Error):
        return None
    meaning = TABLE.get(primary_code(error))
    if meaning is None:
        return BackendError(f"SQLite: {error}")
    return meaning.error(f"{meaning.words} (SQLite: {error})")


def commit_error(error: sqlite3.Error) -> BackendError:
    """Give our error for a failed COMMIT; the writes before it were rolled back."""
    found = ours(error) or BackendError(f"SQLite: {error}")
    meaning = TABLE.get(primary_code(error))
    found.maybe_applied = meaning is None or meaning.maybe_committed
    found.args = (f"the commit failed and was rolled back: {found}",)
    return found
