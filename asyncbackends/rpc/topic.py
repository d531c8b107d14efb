"""The names behind a topic: three exchanges, however many clients and servers there are."""

import re
from typing import Final, Protocol

from asyncbackends.errors import InvalidRequestError
from asyncbackends.protocols.message_broker import Exchanges, Publishing, Subscribing

__all__ = ("RpcBroker", "Topic")

NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,80}")
"""Without ``@``, which our own names have: no topic and no server can be taken for another's."""

FANOUT: Final = ".fanout"
REPLIES: Final = ".replies"


class RpcBroker(Exchanges, Publishing, Subscribing, Protocol):
    """What calls need of a message broker, which must have DIRECT_ROUTING."""


class Topic:
    """A topic's exchanges, queues and routing keys.

    ``calls`` and ``replies`` are of kind ``direct``. On ``calls`` all servers share the queue
    ``shared_queue``; a named server has one of its own beside it. On ``fanout`` every server has
    a private queue, on ``replies`` every client.
    """

    def __init__(self, name: str) -> None:
        """Take a topic's name.

        :raises InvalidRequestError: it is none.
        """
        if not NAME.fullmatch(name) or name.endswith((FANOUT, REPLIES)):
            message = (
                f"a topic is 1 to 80 letters, digits and characters of `_ . : / -` that do not "
                f"end in {FANOUT} or {REPLIES}, not {name[:80]!r}"
            )
            raise InvalidRequestError(message)
        self.name = name
        self.calls = name
        self.fanout = f"{name}{FANOUT}"
        self.replies = f"{name}{REPLIES}"
        self.shared_queue = f"{name}@servers"
        self.shared_key = "@servers"

    def queue_of(self, server: str) -> str:
        """Give the name of a server's own queue, whose name was checked."""
        return f"{self.name}@server:{server}"

    def key_of(self, server: str | None) -> str:
        """Give the routing key of a server, or of all that share.

        :raises InvalidRequestError: it is no name of a server.
        """
        return self.shared_key if server is None else _checked_server(server)

    async def declare(self, broker: RpcBroker) -> None:
        """Make the exchanges, whoever comes first.

        :raises NotSupportedError: the broker lacks DIRECT_ROUTING, feature ``routing``.
        :raises DeclarationConflictError: one of the names is another kind of exchange.
        """
        await broker.create_exchange(self.calls, kind="direct")
        await broker.create_exchange(self.replies, kind="direct")
        await broker.create_exchange(self.fanout)


def _checked_server(name: str) -> str:
    if not NAME.fullmatch(name):
        message = (
            f"a server has a name of 1 to 80 letters, digits and characters of `_ . : / -`, "
            f"not {name[:80]!r}"
        )
        raise InvalidRequestError(message)
    return name
