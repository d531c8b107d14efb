"""Keeps one link to a server open: endpoints in turn, with a back-off, until it must not try again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

import anyio

from asyncbackends.backoff import Backoff
from asyncbackends.clock import Clock
from asyncbackends.errors import (
    AuthenticationFailedError,
    BackendClosedError,
    BackendError,
    ConnectionFailedError,
    ConnectionLostError,
    TlsFailedError,
)
from asyncbackends.mapping import DriverErrors

__all__ = ("CLOSING", "FINAL", "Closable", "Generation", "Links")

FINAL: Final = (AuthenticationFailedError, TlsFailedError)
"""Errors after which no endpoint is tried again: a secret is not tried out on a server."""

CLOSING: Final = 0.75
"""Seconds that the clean end of a link may take."""

MOST_DOUBLINGS: Final = 20


class Closable(Protocol):
    """What every link can do."""

    async def close(self) -> None:
        """End it."""
        ...


LinkT = TypeVar("LinkT", bound=Closable)


class Generation:
    """One life of a link: whether it is over, and why."""

    def __init__(self, ended: Callable[["Generation", BackendError], None]) -> None:
        self._ended = ended
        self.error: BackendError | None = None

    def lost(self, error: BackendError) -> None:
        """Hear that it is over; who says so says no more."""
        if self.error is None:
            self.error = error
            self._ended(self, error)


class Links(Generic[LinkT]):
    """The links of one sort, one after the other."""

    def __init__(
        self,
        endpoints: Sequence[str],
        dial: Callable[[str, Generation], Awaitable[LinkT]],
        up: Callable[[LinkT], Awaitable[None]],
        down: Callable[[], None],
        changed: Callable[[str | None, BackendError | None], None],
        errors: DriverErrors,
        *,
        what: str,
        connect_timeout: float,
        backoff: Backoff,
        clock: Clock,
        logger: logging.Logger,
        first_patience: float | None = None,
    ) -> None:
        """Make them; nothing is opened yet.

        :param first_patience: the seconds that the first try after a loss may take; each round
            in which nobody answered doubles them, up to ``connect_timeout``. A server that is just starting
            may accept a connection and never answer on it. None is ``connect_timeout``.
        """
        self._endpoints = list(endpoints)
        self._dial = dial
        self._up = up
        self._down = down
        self._changed = changed
        self._errors = errors
        self._what = what
        self._connect_timeout = connect_timeout
        self._backoff = backoff
        self._clock = clock
        self._logger = logger
        self._first_patience = min(first_patience or connect_timeout, connect_timeout)
        self._next = 0
        self._generation: Generation | None = None
        self._link: LinkT | None = None
        self._lost_link: LinkT | None = None
        self._closed = False
        self._gone = asyncio.Event()
        self._there = asyncio.Event()

    @property
    def link(self) -> LinkT | None:
        """The present link."""
        return self._link

    async def wait(self, seconds: float) -> LinkT:
        """Give the link, when there is one.

        :raises ConnectionLostError: there is none in time.
        :raises BackendClosedError: there is none any more.
        """
        if self._link is None:
            try:
                async with asyncio.timeout(seconds):
                    while self._link is None:
                        if self._closed:
                            message = f"the {self._what} was closed meanwhile"
                            raise BackendClosedError(message)
                        await self._there.wait()
            except TimeoutError:
                message = f"there was no link to the {self._what} for {seconds:g} s"
                raise ConnectionLostError(message) from None
        return self._link

    async def first(self) -> None:
        """Try every endpoint once, each with its share of ``connect_timeout``.

        :raises ConnectionFailedError: none can be used; or at once one of the final kinds.
        """
        failures: list[BackendError] = []
        loop = asyncio.get_running_loop()
        end = loop.time() + self._connect_timeout
        for left in range(len(self._endpoints), 0, -1):
            endpoint = self._endpoints[self._next]
            try:
                await self._open(endpoint, (end - loop.time()) / left)
            except BackendError as failed:
                if not str(failed).startswith(endpoint):
                    failed.args = (f"{endpoint}: {failed}",)
                if isinstance(failed, FINAL):
                    raise
                failures.append(failed)
                self._next = (self._next + 1) % len(self._endpoints)
            else:
                return
        if len(failures) == 1:
            raise failures[0]
        message = f"no endpoint of the {self._what} can be used: {'; '.join(map(str, failures))}"
        raise ConnectionFailedError(message) from failures[-1]

    async def run(self) -> None:
        """Open a new link whenever one is lost, until an error that is final is raised."""
        while True:
            await self._gone.wait()
            await self._close_lost()
            tries, unanswered = 1, 0
            while self._link is None:
                await self._clock.sleep(self._backoff.full_jitter(tries))
                endpoint = self._endpoints[self._next]
                try:
                    await self._open(endpoint, self._patience(unanswered))
                except FINAL:
                    raise
                except BackendError as error:
                    self._logger.debug("no link to %s: %s", endpoint, type(error).__name__)
                    self._next = (self._next + 1) % len(self._endpoints)
                    tries += 1
                    unanswered += isinstance(error.__cause__, TimeoutError)

    def _patience(self, unanswered: int) -> float:
        rounds = min(unanswered // len(self._endpoints), MOST_DOUBLINGS)
        return float(min(self._first_patience * 2**rounds, self._connect_timeout))

    def give_up(self, link: LinkT, error: BackendError) -> None:
        """Count a link as lost of which the core knows that it is of no use; the next one is tried.

        Of another endpoint where there is one: this one may be there and say nothing.
        """
        if link is self._link and self._generation is not None:
            self._next = (self._next + 1) % len(self._endpoints)
            self._generation.lost(error)

    async def _open(self, endpoint: str, seconds: float) -> None:
        generation = Generation(self._lost)
        link: LinkT | None = None
        opened = False
        try:
            async with asyncio.timeout(seconds):
                with self._errors:
                    link = await self._dial(endpoint, generation)
            self._generation = generation
            # Each of its steps has a bound, and there may be many of them.
            await self._up(link)
            opened = generation.error is None
        except TimeoutError as error:
            if isinstance(error, BackendError):
                raise
            message = f"{endpoint} did not answer in time"
            if link is None:
                message = f"{endpoint} did not answer within {seconds:.3g} s"
            raise ConnectionFailedError(message) from error
        finally:
            if not opened:
                self._generation = None
                self._down()
                if link is not None:
                    await self._end(link)
        if generation.error is not None:
            raise generation.error
        self._link = link
        self._gone.clear()
        self._there.set()
        self._changed(endpoint, None)

    def _lost(self, generation: Generation, error: BackendError) -> None:
        if generation is self._generation and self._link is not None:
            self._lost_link, self._link = self._link, None
            self._generation = None
            self._there.clear()
            self._gone.set()
            self._down()
            self._changed(None, error)

    async def close(self) -> None:
        """End the present link; whoever waits for one hears it."""
        self._closed = True
        link, self._link, self._generation = self._link, None, None
        self._there.set()
        if link is not None:
            self._down()
            await self._end(link)
        await self._close_lost()

    async def _close_lost(self) -> None:
        link, self._lost_link = self._lost_link, None
        if link is not None:
            await self._end(link)

    async def _end(self, link: LinkT) -> None:
        try:
            with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSING), self._errors:
                await link.close()
        except BackendError as error:
            self._logger.debug("the end of a link was not clean: %s", type(error).__name__)
