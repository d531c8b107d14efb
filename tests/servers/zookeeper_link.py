"""One ZooKeeper link through the proxy: what it forwards, holds back and loses."""

import struct
from typing import TYPE_CHECKING

from tests.servers.fault_links import Link

if TYPE_CHECKING:
    from tests.servers.zookeeper_faults import ZooKeeperFaults

__all__ = ("ZooKeeperLink", "frame_of")

EVENT, PING = -1, -2
SET_DATA, MULTI = 5, 14
WRITES = {1, 2, SET_DATA, MULTI, 15}
"""create, delete, setData, multi, create2."""
FAILED = struct.pack(">i", -1)
PART = struct.Struct(">i?i")


def frame_of(content: bytes) -> bytes:
    """Put the length before it."""
    return struct.pack(">i", len(content)) + content


class ZooKeeperLink(Link):
    """A connection of a ZooKeeper client."""

    def __init__(self, proxy: "ZooKeeperFaults") -> None:
        super().__init__(proxy)
        self._faults = proxy
        self._greeted = False
        self._welcomed = False
        self._writes: dict[int, int] = {}
        """The operations of writes on their way, by xid."""

    def from_client(self, buffer: bytearray) -> int:
        frame = _first(buffer)
        if frame is None:
            return 0
        if not self._greeted:
            self._greeted = True
            self.server.write(frame)
            return len(frame)
        xid, operation = struct.unpack_from(">ii", frame, 4)
        if xid == PING and self._faults.freezes_renewals:
            return len(frame)
        if operation in WRITES:
            self._writes[xid] = operation
        if not self.muted:
            self.server.write(frame)
        return len(frame)

    def from_server(self, buffer: bytearray) -> int:
        frame = _first(buffer)
        if frame is None:
            return 0
        if not self._welcomed:
            self._welcomed = True
            self._faults.note_session(frame)
            self.client.write(frame)
            return len(frame)
        xid, _, code = struct.unpack_from(">iqi", frame, 4)
        operation = self._writes.pop(xid, None)
        if operation is not None and self._faults.lost_replies and _applied(operation, code, frame):
            self._faults.lost_replies -= 1
            # A reply is only lost with its connection.
            self.cut_client()
        elif xid == EVENT and self._faults.lost_events:
            self._faults.lost_events = 0
            self.cut_client()
        else:
            self.client.write(frame)
        return len(frame)

    def release(self) -> None:
        """Nothing is held back."""

    def block(self) -> None:
        """There is no such word."""

    def unblock(self) -> None:
        """There is no such word."""

    def take_leave(self) -> None:
        """The server has handled what it was sent before it sees the end."""
        if self.server.transport is not None:
            self.server.transport.write_eof()

    def has_left(self, buffer: bytearray) -> bool:
        buffer.clear()
        return False


def _first(buffer: bytearray) -> bytes | None:
    if len(buffer) < 4:
        return None
    end = 4 + struct.unpack_from(">i", buffer)[0]
    return bytes(buffer[:end]) if len(buffer) >= end else None


def _applied(operation: int, code: int, frame: bytes) -> bool:
    """Say whether a write was applied; a multi says so in its first part."""
    if code:
        return False
    return operation != MULTI or frame[20:24] != FAILED
