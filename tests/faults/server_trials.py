"""What trials of all kinds of backends with a server have in common."""

import asyncio
import socket
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from asyncbackends import ConnectionState
from asyncbackends.errors import BackendClosedError, BackendError
from tests.faults.fleet import Fleet, revive
from tests.servers.server import HOST, Server

__all__ = ("Ending", "ServerTrial", "caused_by")

PATIENCE = 5.0
ServerT = TypeVar("ServerT", bound=Server)


class HasState(Protocol):
    """A backend of any kind."""

    @property
    def state(self) -> ConnectionState:
        """How its connection stands."""
        ...


@dataclass
class Ending:
    """How a call ended, and after how many seconds."""

    seconds: float
    value: Any = None
    error: BackendError | None = None

    def failed(self, kind: type[BackendError], *, maybe: bool = False) -> BackendError:
        """Give the error; it must be of exactly this type, and say whether it may be applied."""
        error = self.error
        assert error is not None, repr(self.value)
        assert type(error) is kind, repr(error)
        assert error.maybe_applied is maybe, str(error)
        return error


def caused_by(error: BackendError | None) -> BaseException | None:
    """Give the error itself, or what ended the whole backend."""
    return error.__cause__ if isinstance(error, BackendClosedError) else error


@dataclass
class ServerTrial(Generic[ServerT]):
    """One scenario on one server, by one engine."""

    name: str
    engine: str
    server: ServerT
    fleet: Fleet[ServerT]
    length: str
    secrets: set[str]

    @property
    def namespace(self) -> str:
        """What keeps it apart from others on one server."""
        return self.name[:40]

    async def ending(self, call: Awaitable[Any]) -> Ending:
        """Await a call; only our own errors count as an end, and none shows a secret."""
        began = time.monotonic()
        try:
            value = await call
        except BackendError as error:
            self.check_error(error)
            return Ending(time.monotonic() - began, error=error)
        return Ending(time.monotonic() - began, value)

    def check_error(self, error: BackendError) -> None:
        """See that an error says where it comes from, and no secret."""
        assert error.engine == self.engine
        assert error.operation
        told = "".join(traceback.format_exception(error)) + repr(error)
        assert not [secret for secret in self.secrets if secret in told]

    # What is done to the server; all of it blocks, so a thread does it.

    async def kill(self) -> None:
        """End the server as ``kill -9`` does."""
        await self.fleet.do(self.server.kill)

    async def start(self) -> None:
        """Start it again."""
        await self.fleet.do(self.server.start)

    async def freeze(self) -> None:
        """Let it answer nothing."""
        await self.fleet.do(self.server.freeze)

    async def thaw(self) -> None:
        """Let it go on."""
        await self.fleet.do(self.server.thaw)

    async def revive(self) -> None:
        """Let it run, whatever was done to it."""
        await self.fleet.do(revive, self.server)

    async def port_opens(self) -> float:
        """Wait until the server can be connected to, and give the time of it."""

        def opens() -> float:
            deadline = time.monotonic() + 60
            while True:
                try:
                    with socket.create_connection((HOST, self.server.port), timeout=1):
                        return time.monotonic()
                except OSError:
                    assert time.monotonic() < deadline, "the port stays closed"
                    time.sleep(0.01)

        return await self.fleet.do(opens)

    # Waiting.

    async def settled(
        self, condition: Callable[[], Awaitable[bool]], what: str, *, patience: float = PATIENCE
    ) -> float:
        """Wait until something holds that takes a moment; give the seconds it took."""
        began = time.monotonic()
        while not await condition():
            assert time.monotonic() < began + patience, what
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    async def in_state(
        self, backend: HasState, state: ConnectionState, *, patience: float = PATIENCE
    ) -> float:
        """Wait for a state of a backend; give the seconds it took."""

        async def is_so() -> bool:
            return backend.state is state

        return await self.settled(is_so, f"not {state}", patience=patience)
