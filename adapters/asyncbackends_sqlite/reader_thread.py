"""The threads that read, each on its own connection and in a snapshot of its own."""

import asyncio
import sqlite3
from typing import Any

from asyncbackends.errors import BackendClosedError
from asyncbackends.native import SimpleQueue
from asyncbackends_sqlite.connection import open_reader
from asyncbackends_sqlite.driver_errors import is_busy
from asyncbackends_sqlite.jobs import PROGRESS_STEPS, Job, JobKind, post, settle

__all__ = ("Reader",)


class Reader:
    """One thread that reads; readers share a queue."""

    def __init__(
        self, path: str, queue: "SimpleQueue[Any]", loop: asyncio.AbstractEventLoop
    ) -> None:
        self._path = path
        self._queue = queue
        self._loop = loop
        self._job: Job | None = None
        self.hurry = False
        """End without finishing what is queued."""
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[BaseException | None] = loop.create_future()

    def run(self) -> None:
        """Serve until the queue gives None; what the thread runs."""
        try:
            connection = open_reader(self._path)
        except Exception as error:  # noqa: BLE001  # raised in the task that opens
            post(self._loop, settle, [(self.opened, None, error)])
            post(self._loop, settle, [(self.ended, None, None)])
            return
        cursor = connection.cursor()
        try:
            connection.set_progress_handler(self._abandoned, PROGRESS_STEPS)
            post(self._loop, settle, [(self.opened, None, None)])
            while (job := self._queue.get()) is not None:
                if job.claim():
                    self._serve(connection, cursor, job)
        finally:
            cursor.close()
            connection.close()
            post(self._loop, settle, [(self.ended, None, None)])

    def _abandoned(self) -> bool:
        return self.hurry or (self._job is not None and self._job.abandoned)

    def _serve(self, connection: sqlite3.Connection, cursor: sqlite3.Cursor, job: Job) -> None:
        self._job = job
        value: Any = None
        problem: BaseException | None = None
        if self.hurry:
            problem = BackendClosedError("the config database was closed before this was begun")
        else:
            try:
                value = self._read(cursor, job)
            except BaseException as error:  # noqa: BLE001  # raised in the task that waits for it
                problem = error
            if connection.in_transaction:
                cursor.execute("ROLLBACK")
        self._job = None
        post(self._loop, settle, [(job.answer, value, problem)])

    def _read(self, cursor: sqlite3.Cursor, job: Job) -> Any:
        while True:
            try:
                if job.kind is JobKind.SNAPSHOT:
                    cursor.execute("BEGIN")
                return job.work(cursor)
            except sqlite3.OperationalError as error:
                # Another process recovers the file after a crash, or is the last to close it.
                if not is_busy(error) or self._abandoned():
                    raise
            if cursor.connection.in_transaction:
                cursor.execute("ROLLBACK")
