"""What both sorts of links have: a life that ends once, by being closed or by being lost."""

import asyncio
from functools import partial

from asyncbackends.broker.wire import LinkEvents
from asyncbackends.errors import BackendError, ConnectionLostError
from asyncbackends_memory.messaging.server import Server

__all__ = ("Line",)


class Line:
    """What both sorts of links have: it is alive until it is closed or lost."""

    def __init__(self, server: Server, events: LinkEvents) -> None:
        self.server = server
        self.alive = True
        self._events = events
        self._closed = False
        self._waiting: set[asyncio.Future[None]] = set()

    async def before(self, operation: str) -> None:
        """Pass an operation on to the server, delayed or refused.

        :raises ConnectionLostError: the link is gone.
        """
        faults = self.server.faults
        self._check(operation)
        if faults.pause > 0:
            await self._pause(faults.pause)
        else:
            # A loop over calls can be cancelled and starves nobody.
            await asyncio.sleep(0)
        self._check(operation)
        faults.refuse(operation)

    def _check(self, operation: str) -> None:
        if not self.alive:
            message = f"the link was lost before {operation}; it was not applied"
            raise ConnectionLostError(message)

    async def _pause(self, seconds: float) -> None:
        over = asyncio.get_running_loop().create_future()
        timer = self.server.clock.call_later(seconds, partial(_wake, over))
        self._waiting.add(over)
        try:
            await over
        finally:
            timer.cancel()
            self._waiting.discard(over)

    def lose(self, error: BackendError) -> None:
        """Break, and tell it in the next turn."""
        self.stop()
        self.server.turns.soon(partial(self._tell_lost, error))

    def _tell_lost(self, error: BackendError) -> None:
        if not self._closed:
            self._events.lost(error)

    def stop(self) -> None:
        """Be alive no more."""
        self.alive = False
        for over in self._waiting:
            _wake(over)

    def close(self) -> None:
        """Stop, and tell nothing any more."""
        self._closed = True
        self.stop()

    @property
    def closed(self) -> bool:
        """Whether nothing is told any more."""
        return self._closed


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
