"""A proxy in a thread of its own that breaks links to a broker, whatever protocol they speak."""

import asyncio
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.servers.fault_links import Kind, Link, Switches

__all__ = ("FaultProxy",)

HOST = "127.0.0.1"
PATIENCE = 15.0
"""Seconds that an order to the thread may take."""

ResultT = TypeVar("ResultT")


class FaultProxy(ABC):
    """``with Proxy(...) as faults``: clients connect to ``faults.endpoint``; a LinkFaults.

    Everything is called from the thread that made it, and has happened when the call returns.
    """

    def __init__(self, upstream: str, restart: Callable[[], object] | None) -> None:
        host, _, port = upstream.rpartition(":")
        self._upstream = (host, int(port))
        self._restart = restart
        self.switches = Switches()
        self.endpoint = ""
        """Where clients connect to."""
        self._links: dict[Link, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting: set[asyncio.Task[Any]] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self._mistakes: list[Exception] = []
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread
        self._listening: socket.socket

    @abstractmethod
    def make_link(self) -> Link:
        """Make one for a client that has just come."""

    @abstractmethod
    async def remove_what_is_not_durable(self) -> None:
        """Do to the server what a restart does, links apart."""

    # The faults; what they mean is written in LinkFaults.

    @property
    def connections(self) -> int:
        """How many links are open now."""
        return self.call(lambda: sum(link.client.is_open for link in self._links))

    def drop_connection(self) -> None:
        """Cut all links, and let none come back until :meth:`restore_connection`."""
        self.run(self._drop(None, refuse=True))

    def restore_connection(self) -> None:
        """Let the links come back."""
        self.call(lambda: setattr(self.switches, "refuses", False))

    def drop_publishing(self) -> None:
        """Cut the links for publishing, once."""
        self.run(self._drop("publishing"))

    def drop_consuming(self) -> None:
        """Cut the links for consuming, once."""
        self.run(self._drop("consuming"))

    def mute_publishing(self) -> None:
        """Lose what is sent on the present links for publishing; the links seem to live."""

        def mute() -> None:
            for link in self._of("publishing"):
                link.muted = True

        self.call(mute)

    def hold_confirms(self) -> None:
        """Let messages be stored, and not confirmed until :meth:`release_confirms`."""
        self.call(lambda: setattr(self.switches, "holds_confirms", True))

    def release_confirms(self) -> None:
        """Confirm again; what was held back on a link that is gone is lost."""
        self.call(self._release)

    def lose_confirms(self, count: int) -> None:
        """Let the next messages, so many, be stored and never be confirmed on this link."""

        def lose() -> None:
            self.switches.lost_confirms += count

        self.call(lose)

    def refuse_next(self) -> None:
        """Let the next message be refused."""

        def refuse() -> None:
            self.switches.refusals += 1

        self.call(refuse)

    def lose_settles(self, count: int) -> None:
        """Lose so many of the next answers of consumers."""
        self.call(lambda: self.switches.lose_settles(count))

    def drop_in_settle(self, after: int) -> None:
        """Cut the first link for consuming that sends one more answer than this from now on."""
        self.call(lambda: self.switches.drop_in_settle(after))

    def block(self) -> None:
        """Let the broker take no messages until :meth:`unblock`."""
        self.call(self._block)

    def unblock(self) -> None:
        """Let it take messages again."""
        self.call(self._unblock)

    def close_at(self, message_id: str) -> None:
        """Let the broker close the link whenever this message comes, which is not stored."""
        self.call(lambda: self.switches.closing.add(message_id))

    def restart(self) -> None:
        """Restart the broker, or cut all links and take away what is not durable."""
        if self._restart is not None:
            # In the caller's thread: the links notice it as those of any server.
            self._restart()
            return
        self.run(self._drop(None, refuse=True))
        self.run(self.remove_what_is_not_durable())
        self.restore_connection()

    def clear(self) -> None:
        """End all faults."""

        def clear() -> None:
            self._unblock()
            self._release()
            self.switches = Switches()

        self.call(clear)

    def _of(self, kind: Kind | None) -> list[Link]:
        return [link for link in self._links if kind is None or link.kind == kind]

    async def _drop(self, kind: Kind | None, *, refuse: bool = False) -> None:
        self.switches.refuses |= refuse
        dropped = self._of(kind)
        for link in dropped:
            link.cut()
        # Their sockets are closed by the loop, a little later.
        while not self._links.keys().isdisjoint(dropped):  # noqa: ASYNC110  # they tell by leaving
            await asyncio.sleep(0)

    def _release(self) -> None:
        self.switches.holds_confirms = False
        for link in self._of("publishing"):
            link.release()

    def _block(self) -> None:
        self.switches.blocked = True
        for link in self._of("publishing"):
            link.block()

    def _unblock(self) -> None:
        if self.switches.blocked:
            self.switches.blocked = False
            for link in self._of("publishing"):
                link.unblock()

    # The thread.

    def call(self, ask: Callable[[], ResultT]) -> ResultT:
        """Have something done in the proxy's thread."""

        async def called() -> ResultT:
            return ask()

        return self.run(called())

    def run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Have something done in the proxy's thread, in time."""

        async def bounded() -> ResultT:
            async with asyncio.timeout(PATIENCE):
                return await work

        return asyncio.run_coroutine_threadsafe(bounded(), self._loop).result()

    def __enter__(self) -> Self:
        self._listening = socket.create_server((HOST, 0))
        self._listening.setblocking(False)
        # Its links have it from here: asyncio sets it only for sockets that name their protocol.
        self._listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.endpoint = f"{HOST}:{self._listening.getsockname()[1]}"
        # That of the tests may be another product's.
        self._loop = asyncio.SelectorEventLoop()
        self._loop.set_exception_handler(self._failed)
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy")
        self._thread.daemon = True
        self._thread.start()
        self.call(lambda: self._loop.add_reader(self._listening, self._accept))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.run(self._close())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        if self._mistakes:
            # A mistake of the proxy itself must not pass for the fault it was told to make.
            raise ExceptionGroup("the proxy failed", self._mistakes)

    def _accept(self) -> None:
        """Take one client in; a server of asyncio loses the one that comes while it closes."""
        try:
            accepted, _ = self._listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        work = self._loop.connect_accepted_socket(lambda: self.make_link().client, accepted)
        task = self._loop.create_task(work)
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    async def _close(self) -> None:
        self._loop.remove_reader(self._listening)
        self._listening.close()
        self.switches.refuses = True
        for timer in self._timers:
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        # One that was accepted just now is no link yet: it has a task.
        while self._links or len(asyncio.all_tasks()) > 1:
            await self._drop(None)
            await asyncio.sleep(0)

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        mistake = context.get("exception")
        if not isinstance(mistake, Exception):
            mistake = RuntimeError(context["message"])
        self._mistakes.append(mistake)

    # What links say.

    def accepted(self, link: Link) -> None:
        """A client has connected."""
        self._links[link] = None
        if self.switches.refuses:
            link.cut()
            return
        if link.client.transport is not None:
            link.client.transport.pause_reading()
        link.connecting = True
        task = self._loop.create_task(self._connect(link))
        self._tasks.add(task)
        # Also of one that is cancelled before its first step.
        task.add_done_callback(partial(self._connected, link))

    async def _connect(self, link: Link) -> None:
        try:
            await self._loop.create_connection(lambda: link.server, *self._upstream)
        except OSError:
            link.cut()

    def _connected(self, link: Link, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        link.connecting = False
        if link.client.transport is not None and link.client.is_open:
            link.client.transport.resume_reading()
        else:
            link.cut()
        self.left(link)

    def left(self, link: Link) -> None:
        """A link has lost a side."""
        if not (link.connecting or link.client.is_connected or link.server.is_connected):
            self._links.pop(link, None)

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Do something when a time is over."""
        self._timers.append(self._loop.call_later(seconds, do))
