"""A transaction of the writer's, with what its operations share; lives in the writer's thread."""

import contextlib
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from asyncbackends.schema import Schema
from asyncbackends_sqlite.statements import Statements
from asyncbackends_sqlite.tables import indexed_properties, stored_schema

__all__ = ("CREATED", "DELETED", "UPDATED", "Unit")

ResultT = TypeVar("ResultT")

CREATED, UPDATED, DELETED = range(3)


class Unit:
    """The counters of the database, read at every begin, and the changes of one transaction."""

    def __init__(self, connection: sqlite3.Connection, sql: Statements, history: int) -> None:
        self.connection = connection
        self.cursor = connection.cursor()
        self.execute = self.cursor.execute
        self.sql = sql
        self.history = history
        self.revision = 0
        self.now = 0
        """Microseconds since 1970."""
        self.changes: list[tuple[int, int, str, bytes]] = []
        self.indexed: dict[str, tuple[str, ...]] = {}
        self.dangling = False
        """There are refs whose target is missing, or were a moment ago."""
        self._compacted = 0
        self._unpruned = history
        self._stamp = -1
        self._known = 0
        self._news = False

    def data_version(self) -> int:
        """Give a number that another process's commits change."""
        version: int = self.execute("PRAGMA data_version").fetchone()[0]
        return version

    def begin(self) -> None:
        """Take the lock, and read what another process may have changed."""
        self.execute("BEGIN IMMEDIATE")
        try:
            self.revision, self._compacted, stamp = self.execute(self.sql.counters).fetchone()
            if stamp != self._stamp:
                self.load_indexed()
                self._stamp = stamp
            self.dangling = bool(self.execute(self.sql.any_dangling).fetchone()[0])
        except BaseException:
            self._roll_back()
            raise
        self._news = self.revision != self._known
        self._known = self.revision

    def load_indexed(self) -> None:
        """Look which properties are indexed now."""
        self.indexed = indexed_properties(stored_schema(self.cursor, self.sql) or Schema())

    def run(self, work: Callable[["Unit"], ResultT]) -> ResultT:
        """Do one operation, or nothing of it."""
        revision, changes = self.revision, len(self.changes)
        self.now = time.time_ns() // 1000
        self.execute("SAVEPOINT operation")
        try:
            result = work(self)
            self.execute("RELEASE operation")
        except BaseException:
            self.revision = revision
            del self.changes[changes:]
            if self.connection.in_transaction:
                self.execute("ROLLBACK TO operation")
                self.execute("RELEASE operation")
            raise
        return result

    def changed(self, op: int, obj_type: str, uuid: bytes) -> int:
        """Take the next revision for a change of an object, and note the change."""
        self.revision += 1
        self.changes.append((self.revision, op, obj_type, uuid))
        return self.revision

    def commit(self) -> None:
        """Write the counters and the changes, and commit; a failure takes back everything."""
        try:
            if self.revision != self._known:
                self.cursor.executemany(self.sql.new_change, self.changes)
                self.execute(self.sql.set_meta, ("revision", self.revision))
                self._prune()
            self.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def settled(self) -> bool:
        """Forget the transaction, and say whether there is something new for those who watch."""
        news = self._news or self.revision != self._known
        self._known = self.revision
        self.changes.clear()
        return news

    def close(self) -> None:
        """Close the connection; a cursor in the traceback of an error somebody keeps is no reason."""
        # It refuses only where the connection is closed already.
        with contextlib.suppress(sqlite3.ProgrammingError):
            self.cursor.close()
        self.connection.close()

    def _roll_back(self) -> None:
        if self.connection.in_transaction:
            self.execute("ROLLBACK")
        self.revision = self._known
        self._stamp = -1

    def _prune(self) -> None:
        # There are at most as many changes as revisions; counting them exactly takes a scan.
        self._unpruned += len(self.changes)
        if self.revision - self._compacted <= self.history or self._unpruned * 100 < self.history:
            return
        self._unpruned = 0
        last = self.execute(self.sql.first_to_prune, (self.history,)).fetchone()
        if last is not None:
            self.execute(self.sql.prune, last)
            self.execute(self.sql.set_meta, ("compacted", last[0]))
