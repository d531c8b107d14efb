"""Links through a proxy that breaks them: two connections, and what is to be broken."""

import asyncio
import socket
import struct
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    from tests.servers.fault_proxy import FaultProxy

__all__ = ("Kind", "Link", "Side", "Switches")

FAREWELL = 1.0
"""Seconds for a peer to take what it was sent last."""

Kind = Literal["publishing", "consuming"]


class Switches:
    """What is broken now; only the proxy's thread looks at it."""

    def __init__(self) -> None:
        self.refuses = False
        self.holds_confirms = False
        self.lost_confirms = 0
        self.refusals = 0
        self.blocked = False
        self.closing: set[str] = set()
        self._lost_settles = 0
        self._drop_after: int | None = None
        self._settled: dict[Link, int] = {}

    def loses_confirm(self) -> bool:
        """Say whether the message that comes now is never confirmed."""
        if self.lost_confirms == 0:
            return False
        self.lost_confirms -= 1
        return True

    def refuses_message(self) -> bool:
        """Say whether the message that comes now is refused."""
        if self.refusals == 0:
            return False
        self.refusals -= 1
        return True

    def lose_settles(self, count: int) -> None:
        """Lose the next answers of consumers."""
        self._lost_settles += count

    def drop_in_settle(self, after: int | None) -> None:
        """Cut the first link that has more answers than this from now on."""
        self._drop_after = after
        self._settled.clear()

    def settle(self, link: "Link") -> Literal["pass", "lose", "cut"]:
        """Say what happens to one answer of a consumer."""
        if self._lost_settles:
            self._lost_settles -= 1
            return "lose"
        if self._drop_after is None:
            return "pass"
        passed = self._settled.get(link, 0)
        if passed == self._drop_after:
            self.drop_in_settle(None)
            return "cut"
        self._settled[link] = passed + 1
        return "pass"


class Side(asyncio.Protocol):
    """One of the two connections of a link."""

    def __init__(self, link: "Link") -> None:
        self.link = link
        self.transport: asyncio.Transport | None = None
        self.is_connected = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.is_connected = True
        self.link.joined(self)

    def data_received(self, data: bytes) -> None:
        self.link.heard(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_connected = False
        self.link.left(self)

    def pause_writing(self) -> None:
        other = self.link.other(self).transport
        if other is not None and not other.is_closing():
            other.pause_reading()

    def resume_writing(self) -> None:
        other = self.link.other(self).transport
        if other is not None and not other.is_closing():
            other.resume_reading()

    @property
    def is_open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def close(self) -> None:
        """End it when all is written."""
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        """End it by RST, now."""
        if self.transport is not None and not self.transport.is_closing():
            linger = struct.pack("ii", 1, 0)
            found: socket.socket = self.transport.get_extra_info("socket")
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abort()


class Link(ABC):
    """One connection of a client, and the one that stands for it at the server."""

    kind: Kind | None = None
    """None until the client has said its name, and for others."""

    def __init__(self, proxy: "FaultProxy") -> None:
        self.proxy = proxy
        self.client = Side(self)
        self.server = Side(self)
        self.muted = False
        self.ending = False
        """The proxy has ended it; what still comes from the client is lost."""
        self.connecting = False
        self._from_client = bytearray()
        self._from_server = bytearray()

    @property
    def switches(self) -> Switches:
        """What is broken now."""
        return self.proxy.switches

    # What a protocol has to say.

    @abstractmethod
    def from_client(self, buffer: bytearray) -> int:
        """Handle the first whole unit that the client sent; give its length, 0 without one."""

    @abstractmethod
    def from_server(self, buffer: bytearray) -> int:
        """Handle the first whole unit that the server sent; give its length, 0 without one."""

    @abstractmethod
    def release(self) -> None:
        """Pass on the confirms that were held back."""

    @abstractmethod
    def block(self) -> None:
        """Tell the client that the broker takes no messages, where there is a word for it."""

    @abstractmethod
    def unblock(self) -> None:
        """Tell it that it does, and pass on what it sent meanwhile."""

    @abstractmethod
    def take_leave(self) -> None:
        """Let the server end the connection when it has handled all that was passed on."""

    @abstractmethod
    def has_left(self, buffer: bytearray) -> bool:
        """Say whether what the server sent is its consent to the end."""

    # Ends.

    def cut(self) -> None:
        """Break it: both sides learn it by RST."""
        self.ending = True
        self.client.reset()
        self.server.reset()

    def cut_client(self) -> None:
        """Break the client's side; what was passed on reaches the server for sure."""
        self.ending = True
        self.client.reset()
        self._leave_server()

    def close_client(self, last: bytes) -> None:
        """End both sides as a server does that has a last word for its client."""
        self.ending = True
        self.client.write(last)
        if self.client.transport is not None:
            # Closed at once, a RST might overtake the last word.
            self.client.transport.write_eof()
        self.proxy.later(FAREWELL, self.client.reset)
        self._leave_server()

    def _leave_server(self) -> None:
        self.take_leave()
        self.proxy.later(FAREWELL, self.server.reset)

    # What the sides say.

    def other(self, side: Side) -> Side:
        """Give the other one."""
        return self.server if side is self.client else self.client

    def joined(self, side: Side) -> None:
        """A side has its connection."""
        if side is self.client:
            self.proxy.accepted(self)

    def heard(self, side: Side, data: bytes) -> None:
        """A side received something."""
        if side is self.client:
            self._from_client += data
            while not self.ending and (length := self.from_client(self._from_client)):
                del self._from_client[:length]
            if self.ending:
                self._from_client.clear()
            return
        self._from_server += data
        while not self.ending and (length := self.from_server(self._from_server)):
            del self._from_server[:length]
        if self.ending and self.has_left(self._from_server):
            self.server.close()

    def left(self, side: Side) -> None:
        """A side has ended."""
        if not self.ending:
            self.other(side).close()
        self.proxy.left(self)
