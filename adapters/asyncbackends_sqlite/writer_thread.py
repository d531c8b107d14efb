"""The one thread that writes: many operations in one transaction, each in a savepoint."""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

from asyncbackends.errors import BackendClosedError, BackendError
from asyncbackends.native import SimpleQueue
from asyncbackends.schema import Schema
from asyncbackends_sqlite.driver_errors import commit_error, is_busy, ours
from asyncbackends_sqlite.jobs import PROGRESS_STEPS, Answers, Job, JobKind, post, settle
from asyncbackends_sqlite.unit import Unit

__all__ = ("LOOK", "Writer")

LARGEST_GROUP = 64
LOOK = object()
"""In the queue: look whether another process has written."""


class Writer:
    """Drains a queue, and answers after the commit."""

    def __init__(
        self,
        opening: Callable[[], tuple[Unit, Schema]],
        loop: asyncio.AbstractEventLoop,
        changed: Callable[[], None],
    ) -> None:
        self._opening = opening
        self._loop = loop
        self._changed = changed
        """Called in the loop when there are changes to see, this process's or another's."""
        self._stopping = False
        self._reading: Job | None = None
        self._taken: list[Job] = []
        self._data_version = 0
        self.queue: SimpleQueue[Any] = SimpleQueue()
        self.hurry = False
        """End without finishing what is queued."""
        self.contended = False
        """Another process holds the lock."""
        self.opened: asyncio.Future[Schema] = loop.create_future()
        self.ended: asyncio.Future[BaseException | None] = loop.create_future()

    def run(self) -> None:
        """Serve until the queue gives None; what the thread runs."""
        failure: BaseException | None = None
        unit: Unit | None = None
        try:
            unit, schema = self._opening()
            unit.connection.set_progress_handler(self._abandoned, PROGRESS_STEPS)
            self._data_version = unit.data_version()
            post(self._loop, settle, [(self.opened, schema, None)])
            while not self._stopping and not self.hurry:
                self._serve(unit, self.queue.get())
        except BaseException as error:  # noqa: BLE001  # raised in the owner's task
            failure = error
        finally:
            if unit is not None:
                unit.close()
            post(self._loop, settle, [(self.opened, None, failure), *self._refusals(failure)])
            post(self._loop, settle, [(self.ended, failure, None)])

    def _abandoned(self) -> bool:
        return self.hurry or (self._reading is not None and self._reading.abandoned)

    def _serve(self, unit: Unit, item: Any) -> None:
        if item is None:
            self._stopping = True
        elif item is LOOK:
            version = unit.data_version()
            if version != self._data_version:
                self._data_version = version
                post(self._loop, self._changed)
        else:
            job = self._locked(unit, item)
            if job is not None:
                self._group(unit, job)

    def _locked(self, unit: Unit, job: Job | None) -> Job | None:
        """Begin a transaction, and give the first job for it unless nobody waits for any.

        Jobs are claimed only afterwards, so that waiting for another process's lock leaves no
        outcome unknown.
        """
        while job is not None:
            if self.hurry:
                post(self._loop, settle, _refusal(job))
                break
            try:
                unit.begin()
            except sqlite3.Error as error:
                self.contended = is_busy(error)
                if not self.contended:
                    if job.claim():
                        post(self._loop, settle, [(job.answer, None, error)])
                    job = self._next()
            else:
                self.contended = False
                return job
            while job is not None and job.abandoned:
                job = self._next()
        self.contended = False
        return None

    def _next(self) -> Job | None:
        """Give the next job that is there already."""
        while not self._stopping and not self.queue.empty():
            item = self.queue.get()
            if isinstance(item, Job):
                return item
            self._stopping = item is None
        return None

    def _group(self, unit: Unit, first: Job) -> None:
        """Do jobs in one transaction, then answer all of them."""
        answers: Answers = []
        job: Job | None = first
        while job is not None:
            if job.claim():
                self._taken.append(job)
                try:
                    value = self._done(unit, job)
                except BaseException as error:  # noqa: BLE001  # raised in the task that waits
                    answers.append((job.answer, None, error))
                    if not unit.connection.in_transaction:
                        # SQLite has taken back everything: those before share its fate.
                        answers[:-1] = _shared(answers[:-1], _cause(error))
                        break
                else:
                    answers.append((job.answer, value, None))
            job = self._next() if len(answers) < LARGEST_GROUP else None
        if unit.connection.in_transaction:
            try:
                unit.commit()
            except sqlite3.Error as error:
                answers = _shared(answers, commit_error(error))
        post(self._loop, self._settle, answers, unit.settled())
        self._taken.clear()

    def _done(self, unit: Unit, job: Job) -> Any:
        if job.kind is JobKind.WRITE:
            return unit.run(job.work)
        self._reading = job
        try:
            return job.work(unit.cursor)
        finally:
            self._reading = None

    def _settle(self, answers: Answers, news: bool) -> None:
        settle(answers)
        if news:
            self._changed()

    def _refusals(self, failure: BaseException | None) -> Answers:
        # The connection was closed before a commit, so what was taken is not applied.
        refusals: Answers = [(job.answer, None, _failed(failure)) for job in self._taken]
        while not self.queue.empty():
            item = self.queue.get()
            if isinstance(item, Job):
                refusals += _refusal(item)
        return refusals


def _refusal(job: Job) -> Answers:
    if not job.claim():
        return []
    message = "the config database was closed before this operation was begun"
    return [(job.answer, None, BackendClosedError(message))]


def _failed(failure: BaseException | None) -> BackendClosedError:
    return BackendClosedError(f"the thread that writes failed: {failure}")


def _cause(error: BaseException) -> BackendError:
    found = ours(error) if isinstance(error, Exception) else None
    return found or BackendError(f"the transaction was rolled back: {error}")


def _shared(answers: Answers, error: BackendError) -> Answers:
    """Give each an error of its own: one that is raised collects the traceback of its task."""
    shared: Answers = []
    for future, _, _ in answers:
        copy = type(error)(str(error))
        copy.maybe_applied = error.maybe_applied
        shared.append((future, None, copy))
    return shared
