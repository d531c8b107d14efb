"""A service for the tests: what it executes, what it was asked, and a gate to hold it up."""

from typing import Any

from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.rpc import HandlerError, RpcContext, RpcServer
from asyncbackends.rpc.handlers import Handler
from asyncbackends.testing.harness import Harness

__all__ = ("SECRET", "Service", "ShownError")

SECRET = "hunter2 and the rest of the password file"  # noqa: S105  # it is to be looked for


class ShownError(Exception):
    """An error whose text the service's callers may read."""


class Service:
    """Handlers, and what they saw."""

    def __init__(self, harness: Harness, name: str = "one") -> None:
        self.name = name
        self.executed: list[Any] = []
        """What the requests were told apart by, in order; ``begun`` the same before they end."""
        self.begun: list[Any] = []
        self.contexts: list[RpcContext] = []
        self.busy = 0
        self.most_busy = 0
        self.is_open = True
        """Whether ``work`` goes on."""
        self._harness = harness

    @property
    def handlers(self) -> dict[str, Handler]:
        """The methods."""
        return {
            "who": self._who,
            "echo": self._echo,
            "add": self._add,
            "work": self._work,
            "fail": self._fail,
            "show": self._show,
            "refuse": self._refuse,
            "long": self._long,
            "unsendable": self._unsendable,
        }

    def server(self, broker: MessageBroker, topic: str, **options: Any) -> RpcServer:
        """Give a server with these methods, to be entered."""
        return RpcServer(broker, topic, self.handlers, expose_errors=(ShownError,), **options)

    async def _who(self) -> str:
        self.executed.append("who")
        return self.name

    async def _echo(self, value: Any = None) -> Any:
        self.executed.append(value)
        return value

    async def _add(self, *, first: int, second: int = 10) -> int:
        return first + second

    async def _work(self, context: RpcContext, /, number: int = 0, seconds: float = 0.0) -> Any:
        self.contexts.append(context)
        self.begun.append(number)
        self.busy += 1
        self.most_busy = max(self.busy, self.most_busy)
        try:
            if seconds:
                await self._harness.sleep(seconds)
            await self._harness.eventually(self._opened)
        finally:
            self.busy -= 1
        self.executed.append(number)
        return [self.name, number]

    async def _opened(self) -> bool:
        return self.is_open

    async def _fail(self) -> None:
        self.executed.append("fail")
        raise ValueError(SECRET)

    async def _show(self) -> None:
        raise ShownError("disk\n7 is full")

    async def _refuse(self) -> None:
        raise HandlerError("OutOfStock", "no flavor is left")

    async def _long(self, count: int) -> str:
        return "x" * count

    async def _unsendable(self) -> object:
        return {"value": {SECRET}}
