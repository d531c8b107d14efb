"""The one seam around every operation of a backend, and the state of its link.

An operation is timed, logged, traced, and its driver's errors become ours, in one place. Log
records carry ``engine``, ``operation``, ``duration_ms`` and ``outcome`` and never a value, a
statement's arguments or a credential.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from time import perf_counter
from types import TracebackType
from typing import Generic, Self, TypeVar

from asyncbackends.errors import BackendError
from asyncbackends.protocols.backend import ConnectionState, ConnectionStatus, Kind

try:
    from asyncbackends import telemetry
except ImportError:
    telemetry = None  # type: ignore[assignment]  # without the extra nothing is recorded

__all__ = ("ErrorTable", "LinkStates", "Operation", "Seam", "StateWatch")

LOGGERS = {
    Kind.CONFIG_DATABASE: "asyncbackends.database",
    Kind.MESSAGE_BROKER: "asyncbackends.broker",
    Kind.COORDINATION: "asyncbackends.coordination",
}

ErrorT = TypeVar("ErrorT", bound=BackendError)
StateT = TypeVar("StateT")

ErrorTable = Callable[[Exception], BackendError | None]
"""An adapter's table: gives our error for a driver's, or None for what is not the driver's."""


class Seam:
    """What the operations of one backend share; calling it gives the seam around one of them."""

    def __init__(self, kind: Kind, engine: str, errors: ErrorTable) -> None:
        self.kind = kind
        self.engine = engine
        self.errors = errors
        self.logger = logging.getLogger(LOGGERS[kind])

    def named(self, error: ErrorT, operation: str) -> ErrorT:
        """Give an error that is raised outside a seam, with the names that the seam would give."""
        error.engine, error.operation = self.engine, operation
        return error

    def __call__(self, operation: str) -> "Operation":
        """Give the context manager around one operation, named as in the Protocol."""
        return Operation(self, operation)


class Operation:
    """Times, logs, traces one operation and maps its errors."""

    __slots__ = ("_name", "_seam", "_span", "_started")

    def __init__(self, seam: Seam, name: str) -> None:
        self._seam = seam
        self._name = name

    def __enter__(self) -> Self:
        seam = self._seam
        if telemetry is not None:
            self._span = telemetry.start_span(seam.kind.value, seam.engine, self._name)
        self._started = perf_counter()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seconds = perf_counter() - self._started
        if exc is None:
            self._record(seconds, "ok")
            return
        ours = exc if isinstance(exc, BackendError) else self._mapped(exc)
        cancelled = not isinstance(exc, Exception)
        self._record(seconds, "cancelled" if cancelled else type(ours or exc).__name__)
        if ours is None:
            return
        self._seam.named(ours, self._name)
        if ours is not exc:
            raise ours from exc

    def _mapped(self, exc: BaseException) -> BackendError | None:
        return self._seam.errors(exc) if isinstance(exc, Exception) else None

    def _record(self, seconds: float, outcome: str) -> None:
        seam = self._seam
        if telemetry is not None:
            telemetry.record_duration(seconds, seam.kind.value, seam.engine, self._name, outcome)
            self._span.set_attribute("asyncbackends.outcome", outcome)
            self._span.end()
        if seam.logger.isEnabledFor(logging.DEBUG):
            fields = {
                "engine": seam.engine,
                "operation": self._name,
                "duration_ms": round(seconds * 1000, 3),
                "outcome": outcome,
            }
            seam.logger.debug("%s %s: %s", seam.kind.words, self._name, outcome, extra=fields)


class LinkStates:
    """The state of a backend's link, and those who watch it."""

    def __init__(self, seam: Seam) -> None:
        self._seam = seam
        self._status = ConnectionStatus(ConnectionState.CLOSED, datetime.now(UTC))
        self._changed: asyncio.Event | None = None

    @property
    def status(self) -> ConnectionStatus:
        """The present one."""
        return self._status

    def set(
        self, state: ConnectionState, endpoint: str | None = None, reason: str | None = None
    ) -> None:
        """Note a change and tell those who watch."""
        before = self._status
        if (before.state, before.endpoint, before.reason) == (state, endpoint, reason):
            return
        self._status = ConnectionStatus(state, datetime.now(UTC), endpoint, reason)
        level = logging.WARNING if state is ConnectionState.DISCONNECTED else logging.INFO
        fields = {"engine": self._seam.engine, "state": state.value, "endpoint": endpoint}
        because = f": {reason}" if reason else ""
        self._seam.logger.log(
            level, "%s %s%s", self._seam.kind.words, state.value, because, extra=fields
        )
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[ConnectionStatus]]:
        """Give what ``states()`` returns."""
        return StateWatch(
            lambda: self.status,
            self.next_after,
            lambda status: status.state is ConnectionState.CLOSED,
        )

    async def next_after(self, seen: ConnectionStatus) -> ConnectionStatus:
        """Wait until the status is another one than ``seen``."""
        while self._status is seen:
            if self._changed is None:
                self._changed = asyncio.Event()
            await self._changed.wait()
        return self._status


class StateWatch(Generic[StateT]):
    """What ``states()`` returns: the present state, then each other one as it comes.

    It may pass over states that a slow reader was too late for, and ends after a last one.
    """

    def __init__(
        self,
        present: Callable[[], StateT],
        next_after: Callable[[StateT], Awaitable[StateT]],
        is_last: Callable[[StateT], bool],
    ) -> None:
        self._present = present
        self._next_after = next_after
        self._is_last = is_last
        self._seen: StateT | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def __aiter__(self) -> AsyncIterator[StateT]:
        return self

    async def __anext__(self) -> StateT:
        if self._seen is None:
            self._seen = self._present()
        elif self._is_last(self._seen):
            raise StopAsyncIteration
        else:
            self._seen = await self._next_after(self._seen)
        return self._seen
