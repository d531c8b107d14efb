"""The servers that trials break, and others that they share."""

import asyncio
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar

from tests.servers.certificates import Certificates
from tests.servers.running import Servers
from tests.servers.server import Server

__all__ = ("Fleet", "end", "revive")

Parameters = ParamSpec("Parameters")
ResultT = TypeVar("ResultT")
ServerT = TypeVar("ServerT", bound=Server)


class Fleet(Generic[ServerT]):
    """More servers of the kinds that trials are of, each started once and ended together."""

    def __init__(self, servers: Servers, checked: Callable[[Server], ServerT]) -> None:
        """Take servers of a run.

        :param checked: gives the server that it is given, if it is one of the kind.
        """
        self._servers = servers
        self._checked = checked
        self._started: dict[tuple[str, str], ServerT] = {}
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        # More get into each other's way.
        self._starting = threading.Semaphore(2)
        self._threads: ThreadPoolExecutor | None = None

    @contextmanager
    def threads(self) -> Generator[ThreadPoolExecutor]:
        """Have threads for the time of the block: what is tried may need those of the loop."""
        with ThreadPoolExecutor(32) as self._threads:
            yield self._threads

    async def do(
        self,
        call: Callable[Parameters, ResultT],
        *arguments: Parameters.args,
        **others: Parameters.kwargs,
    ) -> ResultT:
        """Do something that blocks."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(call, *arguments, **others))

    @property
    def certificates(self) -> Certificates:
        """What servers show, and clients trust."""
        return self._servers.certificates

    def fresh(self, engine: str, **arguments: Any) -> ServerT:
        """Start one for a scenario alone, which has to end it."""
        server = self._checked(self._servers.fresh(engine, **arguments))
        with self._starting:
            return server.__enter__()

    async def shared(self, engine: str, name: str, **arguments: Any) -> ServerT:
        """Give the engine's server of this name, which nobody may break."""
        return await self.do(self._share, engine, name, arguments)

    def _share(self, engine: str, name: str, arguments: dict[str, Any]) -> ServerT:
        key = (engine, name)
        with self._locks.setdefault(key, threading.Lock()):
            if key not in self._started:
                self._started[key] = self.fresh(engine, **arguments)
            return self._started[key]

    def close(self) -> None:
        """End those that are shared."""
        while self._started:
            end(self._started.popitem()[1])


def end(server: Server) -> None:
    """End a server whose data nobody needs."""
    server.kill()
    server.remove()


def revive(server: Server) -> None:
    """Let a server run that was killed or frozen."""
    if server.is_running:
        server.thaw()
    else:
        server.start()
