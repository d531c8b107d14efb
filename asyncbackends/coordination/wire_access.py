"""How calls reach the service: over whatever link there is, bounded, reads again and writes once."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from asyncbackends.coordination.keeping import SessionKeeper
from asyncbackends.coordination.session import LiveSession
from asyncbackends.coordination.transaction import Create, NodeOperation
from asyncbackends.coordination.wire import CoordinationLink, SessionUnknownError
from asyncbackends.errors import (
    BackendClosedError,
    BackendError,
    ConnectionLostError,
    OperationTimeoutError,
)
from asyncbackends.linking import Links
from asyncbackends.mapping import DriverErrors
from asyncbackends.protocols.coordination import SessionState
from asyncbackends.protocols.nodes import NodeStat

__all__ = ("Access",)

ResultT = TypeVar("ResultT")

PAUSE: Final = 0.05
"""Seconds, on average, before something is asked again, while the next link comes up."""


class Access:
    """The ways of a call to the service; an end is a time of the loop's clock."""

    def __init__(
        self,
        links: Links[CoordinationLink],
        keeper: SessionKeeper,
        errors: DriverErrors,
        timeout: float,
        check: Callable[[], None],
    ) -> None:
        """Make it.

        :param check: raises why the backend is closed, when it is.
        """
        self._links = links
        self._keeper = keeper
        self._errors = errors
        self._timeout = timeout
        self._check = check

    def end(self) -> float:
        """Give when a call that begins now must be over."""
        return asyncio.get_running_loop().time() + self._timeout

    async def read(
        self, ask: Callable[[CoordinationLink], Awaitable[ResultT]], end: float | None = None
    ) -> ResultT:
        """Ask, and again on the next link if one is lost.

        :raises ConnectionLostError: there was no link that answered, in time.
        :raises OperationTimeoutError: there was an answer to wait for.
        """
        end = self.end() if end is None else end
        link: CoordinationLink | None = None
        trouble: ConnectionLostError | None = None
        try:
            async with asyncio.timeout_at(end):
                while True:
                    link = None
                    link = await self._linked(end)
                    try:
                        with self._errors:
                            return await ask(link)
                    except ConnectionLostError as error:
                        trouble = error
                    await _pause()
        except BackendClosedError:
            # It may have failed while this waited: that is what it is told then.
            self._check()
            raise
        except TimeoutError as error:
            if isinstance(error, BackendError):
                raise
            if link is None or trouble is not None:
                raise self._no_link(trouble) from error
            raise self._no_answer(maybe_applied=False) from error

    async def write(
        self, operations: Sequence[NodeOperation], end: float | None = None
    ) -> list[NodeStat | None]:
        """Apply operations once; give their stats.

        What surely did not reach the service is sent again, all else ends with ``maybe_applied``.

        :raises RefusedError: one was refused.
        :raises ConnectionLostError: there was no link, no live session, or no answer.
        :raises OperationTimeoutError: there was no answer in time.
        """
        ephemeral = any(isinstance(one, Create) and one.ephemeral for one in operations)

        def applying(
            link: CoordinationLink, session: LiveSession | None
        ) -> Awaitable[list[NodeStat | None]]:
            return link.apply(operations, None if session is None else session.id)

        return await self._write(applying, end, ephemeral=ephemeral)

    async def arrive(
        self, entry: Create, end: float, sent_with: Callable[[LiveSession], None]
    ) -> tuple[NodeStat, bool]:
        """Make a contender's entry; give its stat, and whether it is surely first.

        :param sent_with: hears before each try which session the entry goes with.
        :raises BackendError: as ``write`` does.
        """

        def arriving(
            link: CoordinationLink, session: LiveSession | None
        ) -> Awaitable[tuple[NodeStat, bool]]:
            assert session is not None  # noqa: S101  # an entry is ephemeral
            sent_with(session)
            return link.arrive(entry, session.id)

        return await self._write(arriving, end, ephemeral=True)

    async def _write(
        self,
        send: Callable[[CoordinationLink, LiveSession | None], Awaitable[ResultT]],
        end: float | None,
        *,
        ephemeral: bool,
    ) -> ResultT:
        end = self.end() if end is None else end
        sent = False
        trouble: ConnectionLostError | None = None
        try:
            async with asyncio.timeout_at(end):
                while True:
                    session = await self._live(end) if ephemeral else None
                    link = await self._linked(end)
                    if session is not None and session.state is not SessionState.CONNECTED:
                        continue
                    sent = True
                    try:
                        with self._errors:
                            return await send(link, session)
                    except ConnectionLostError as error:
                        if error.maybe_applied:
                            raise
                        trouble = error
                    except SessionUnknownError:
                        if session is not None:
                            self._keeper.forgotten(session.id)
                    sent = False
                    await _pause()
        except BackendClosedError:
            self._check()
            raise
        except TimeoutError as error:
            if isinstance(error, BackendError):
                raise
            if sent:
                raise self._no_answer(maybe_applied=True) from error
            raise self._no_link(trouble) from error

    async def _linked(self, end: float) -> CoordinationLink:
        link = self._links.link
        if link is None:
            return await self._links.wait(max(0.0, end - asyncio.get_running_loop().time()))
        return link

    async def _live(self, end: float) -> LiveSession:
        return await self._keeper.live(max(0.0, end - asyncio.get_running_loop().time()))

    def _no_link(self, trouble: ConnectionLostError | None) -> ConnectionLostError:
        because = "" if trouble is None else f": {trouble}"
        message = f"the coordination service could not be reached for {self._timeout:g} s{because}"
        return ConnectionLostError(message)

    def _no_answer(self, *, maybe_applied: bool) -> OperationTimeoutError:
        message = f"the coordination service did not answer within {self._timeout:g} s"
        return OperationTimeoutError(message, maybe_applied=maybe_applied)


async def _pause() -> None:
    # With chance, so that not all who lost a link come at once.
    await asyncio.sleep(PAUSE * random.uniform(0.5, 1.5))  # noqa: S311  # spreads load, hides nothing
