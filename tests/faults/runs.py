"""Runs a scenario beside itself, for several subjects at once: drivers, or engines.

Most of what these tests do is to wait, so a scenario is run for all subjects that were collected
when the first of its tests runs, each on a server of its own; the others take their outcome. No
scenario may leave a task or a connection behind, or a password in any log or error.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import pytest

from tests.faults.fleet import Fleet, end, revive
from tests.servers.server import Server

__all__ = ("Runs", "collected")

LIMIT = 200.0
ServerT = TypeVar("ServerT", bound=Server)


class Tried(Protocol):
    """What every trial has."""

    async def finish(self) -> None:
        """See that nothing is left on the server."""
        ...


TrialT = TypeVar("TrialT", bound=Tried)


class Runs(ABC, Generic[ServerT, TrialT]):
    """The servers that may be broken, and what came of the scenarios."""

    loggers: ClassVar[Collection[str]]
    """No secret may be in what they are told."""

    def __init__(self, fleet: Fleet[ServerT], length: str) -> None:
        self.fleet = fleet
        self._length = length
        self._own: dict[str, ServerT] = {}
        self._outcomes: dict[tuple[object, str], str | BaseException] = {}

    @abstractmethod
    def make_server(self, subject: str) -> ServerT:
        """Start the one that trials of this subject may break."""

    @abstractmethod
    def make_trial(
        self, name: str, subject: str, server: ServerT, length: str, secrets: set[str]
    ) -> TrialT:
        """Make what is given to a scenario of this name."""

    def close(self) -> None:
        """End the servers."""
        self.fleet.close()
        for server in self._own.values():
            end(server)

    def outcome(
        self,
        scenario: Callable[[TrialT], Coroutine[Any, Any, str]],
        subject: str,
        among: Collection[str],
    ) -> str:
        """Give what came of a scenario, which is run for these subjects if it was not yet."""
        if (scenario, subject) not in self._outcomes:
            with self.fleet.threads() as threads, _watched_logs(self.loggers) as log:
                list(threads.map(self._prepare, among))
                asyncio.run(self._run(scenario, among, log))
        outcome = self._outcomes[scenario, subject]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _prepare(self, subject: str) -> None:
        """Have a server for a subject that runs."""
        server = self._own.get(subject)
        if server is None:
            self._own[subject] = self.make_server(subject)
        else:
            revive(server)

    async def _run(
        self,
        scenario: Callable[[TrialT], Coroutine[Any, Any, str]],
        subjects: Collection[str],
        log: "_WatchedLogs",
    ) -> None:
        await asyncio.gather(*(self._run_one(scenario, subject, log) for subject in subjects))
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left or log.breaches:
            found = [*log.breaches, *(f"left behind: {task}" for task in left)]
            for subject in subjects:
                if isinstance(self._outcomes[scenario, subject], str):
                    self._outcomes[scenario, subject] = AssertionError("\n".join(found))

    async def _run_one(
        self,
        scenario: Callable[[TrialT], Coroutine[Any, Any, str]],
        subject: str,
        log: "_WatchedLogs",
    ) -> None:
        name = scenario.__name__
        outcome: str | BaseException
        try:
            trial = self.make_trial(name, subject, self._own[subject], self._length, log.secrets)
            async with asyncio.timeout(LIMIT if self._length == "ci" else LIMIT * 10):
                outcome = await scenario(trial)
                await trial.finish()
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001  # its test raises it
            outcome = error
        self._outcomes[scenario, subject] = outcome


def collected(request: pytest.FixtureRequest, parameter: str) -> list[str]:
    """Give the values of a parameter with which the same test was collected."""
    return [
        str(item.callspec.params[parameter])
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.originalname == request.node.originalname
        and item.path == request.node.path
        and hasattr(item, "callspec")
    ]


class _WatchedLogs(logging.Handler):
    """Looks for secrets, and for what only the loop heard of."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: set[str] = set()
        self.breaches: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if any(secret in text for secret in self.secrets):
            self.breaches.append(f"a secret was logged by {record.name}")
        elif record.name == "asyncio" and record.levelno >= logging.ERROR:
            self.breaches.append(text)


@contextmanager
def _watched_logs(names: Collection[str]) -> Generator[_WatchedLogs]:
    handler = _WatchedLogs()
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
        # There are too many of them to keep.
        logger.propagate = False
    try:
        yield handler
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
            logger.removeHandler(handler)
            logger.propagate = True
