"""Faults between ZooKeeper clients and a real server: what the coordination kit asks of SessionFaults."""

import asyncio
import struct
from typing import NamedTuple

from tests.servers.fault_links import Link
from tests.servers.fault_proxy import FaultProxy
from tests.servers.server import Server
from tests.servers.zookeeper_link import ZooKeeperLink, frame_of

__all__ = ("ZooKeeperFaults",)

CLOSE = frame_of(struct.pack(">ii", 1, -11))


class Known(NamedTuple):
    """What it takes to attach a session."""

    number: int
    password: bytes
    milliseconds: int


class ZooKeeperFaults(FaultProxy):
    """``with ZooKeeperFaults(server) as faults``: clients connect to ``faults.endpoint``."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.endpoint, None)
        self.freezes_renewals = False
        self.lost_replies = 0
        self.lost_events = 0
        self._sessions: dict[str, Known] = {}

    def make_link(self) -> Link:
        """Make one for a client that has just come."""
        return ZooKeeperLink(self)

    async def remove_what_is_not_durable(self) -> None:
        """All is durable, sessions included."""

    def note_session(self, greeting: bytes) -> None:
        """Remember a session that a client has."""
        _, milliseconds, number, length = struct.unpack_from(">iiqi", greeting, 4)
        if number:
            password = greeting[24 : 24 + length]
            self._sessions[f"{number % 2**64:x}"] = Known(number, password, milliseconds)

    def expire_session(self, session_id: str) -> None:
        """End a session behind its client's back, as the server does when its time is over."""
        self.run(self._end(self._sessions.pop(session_id)))

    async def _end(self, session: Known) -> None:
        reader, writer = await asyncio.open_connection(*self._upstream)
        try:
            greeting = struct.pack(">iqiq", 0, 0, session.milliseconds, session.number)
            password = struct.pack(">i", len(session.password)) + session.password
            writer.write(frame_of(greeting + password + b"\0") + CLOSE)
            # It ends the connection when the session is gone.
            said = await reader.read()
            if struct.unpack_from(">q", said, 12)[0] != session.number:
                raise RuntimeError("the server does not know the session that was to expire")
        finally:
            writer.close()
            await writer.wait_closed()

    def freeze_renewals(self) -> None:
        """Let pings reach nobody, until :meth:`thaw_renewals`."""
        self.call(lambda: setattr(self, "freezes_renewals", True))

    def thaw_renewals(self) -> None:
        """Let pings pass again; those that were lost stay so."""
        self.call(lambda: setattr(self, "freezes_renewals", False))

    def lose_reply(self, operation: str) -> None:
        """Lose the reply to the next write that is applied, with its link."""
        self.call(lambda: setattr(self, "lost_replies", 1))

    def drop_events(self, count: int) -> None:
        """Lose the next event with its link, and so all that come after it."""
        self.call(lambda: setattr(self, "lost_events", count))

    def clear(self) -> None:
        """End all faults."""
        super().clear()

        def clear() -> None:
            self.freezes_renewals = False
            self.lost_replies = self.lost_events = 0

        self.call(clear)
