"""Requests and replies in ZooKeeper's encoding (jute): what is sent often. Pure.

aiozk's classes build a format for each request and compile one for each field of a reply; these
are compiled once. A reply is a whole frame without its length: it begins with :data:`HEADER`.
"""

from datetime import UTC, datetime
from struct import Struct, pack
from typing import Final, NamedTuple

from aiozk.protocol.acl import ACL, AUTHED_UNRESTRICTED, UNRESTRICTED_ACCESS
from aiozk.protocol.primitives import Vector

from asyncbackends.coordination.paths import ROOT
from asyncbackends.protocols.nodes import Node, NodeStat

__all__ = (
    "ACL_CREATOR",
    "ACL_OPEN",
    "EPHEMERAL",
    "HEADER",
    "PERSISTENT",
    "STAT_SIZE",
    "Znode",
    "check_body",
    "create_body",
    "delete_body",
    "event_of",
    "names_at",
    "node_at",
    "read_body",
    "session_text",
    "set_body",
    "text",
    "watch_body",
    "znode_after_text",
    "znode_at",
)

HEADER: Final = Struct(">iqi")
"""Of a reply: xid, zxid, error."""
INT: Final = Struct(">i")
STAT: Final = Struct(">qqqqiiiqiiq")
STAT_SIZE: Final = STAT.size
EVENT: Final = Struct(">iii")
PERSISTENT: Final = 0
EPHEMERAL: Final = 1
UNSIGNED: Final = 2**64


def _rendered(acl: ACL) -> bytes:
    vector = Vector.of(ACL)([acl])
    layout, fields = vector.render()
    return pack(f"!{layout}", *fields)


ACL_OPEN: Final = _rendered(UNRESTRICTED_ACCESS)
ACL_CREATOR: Final = _rendered(AUTHED_UNRESTRICTED)


class Znode(NamedTuple):
    """A stat as ZooKeeper has it, as far as anything is made of it."""

    czxid: int
    mzxid: int
    ctime: int
    mtime: int
    version: int
    """How often its value was set; the server compares it, and another node may have it too."""
    owner: int
    pzxid: int
    """When a child last came or went."""

    def stat(self, path: str) -> NodeStat:
        """Give what callers see; the version is the change that made it, which no other has."""
        created = modified = datetime.fromtimestamp(self.ctime / 1000, UTC)
        if self.mtime != self.ctime:
            modified = datetime.fromtimestamp(self.mtime / 1000, UTC)
        if path == ROOT:
            # It was never made, and is never changed.
            return NodeStat(ROOT, 0, 0, 0, created, modified)
        owner = session_text(self.owner) if self.owner else None
        return NodeStat(path, self.mzxid, self.czxid, self.mzxid, created, modified, owner)


def session_text(session: int) -> str:
    """Give the id of a session as servers show it, in hexadecimal digits."""
    return f"{session % UNSIGNED:x}"


# Requests, without their header.


def text(content: str) -> bytes:
    """Encode a text: also a request that has no more than a path."""
    raw = content.encode()
    return INT.pack(len(raw)) + raw


def read_body(path: str) -> bytes:
    """Encode a read that sets no watch."""
    return text(path) + b"\0"


def create_body(path: str, value: bytes, acl: bytes, flags: int) -> bytes:
    """Encode a create."""
    return b"".join((text(path), INT.pack(len(value)), value, acl, INT.pack(flags)))


def set_body(path: str, value: bytes, version: int) -> bytes:
    """Encode a setData; a version of -1 is any."""
    return b"".join((text(path), INT.pack(len(value)), value, INT.pack(version)))


def delete_body(path: str, version: int) -> bytes:
    """Encode a delete; a version of -1 is any."""
    return text(path) + INT.pack(version)


check_body = delete_body
watch_body = delete_body
"""addWatch and removeWatches have a mode where others have a version."""


# Replies, from where they begin in a frame.


def znode_at(frame: bytes, offset: int = HEADER.size) -> Znode:
    """Decode a stat."""
    czxid, mzxid, ctime, mtime, version, _, _, owner, _, _, pzxid = STAT.unpack_from(frame, offset)
    return Znode(czxid, mzxid, ctime, mtime, version, owner, pzxid)


def znode_after_text(frame: bytes, offset: int = HEADER.size) -> tuple[Znode, int]:
    """Decode what create2 gives: the path, which is known, and the stat; and where it ends."""
    offset += INT.size + INT.unpack_from(frame, offset)[0]
    return znode_at(frame, offset), offset + STAT.size


def node_at(path: str, frame: bytes, offset: int = HEADER.size) -> tuple[Node, int]:
    """Decode a value and a stat; and where it ends."""
    size = max(0, INT.unpack_from(frame, offset)[0])
    offset += INT.size
    end = offset + size
    return Node(frame[offset:end], znode_at(frame, end).stat(path)), end + STAT.size


def names_at(frame: bytes, offset: int = HEADER.size) -> tuple[list[str], int]:
    """Decode the names of children; and where it ends."""
    found: list[str] = []
    (count,) = INT.unpack_from(frame, offset)
    offset += INT.size
    unpack = INT.unpack_from
    for _ in range(count):
        start = offset + 4
        offset = start + unpack(frame, offset)[0]
        found.append(frame[start:offset].decode())
    return found, offset


def event_of(frame: bytes) -> tuple[int, str]:
    """Decode what happened, and to which znode."""
    kind, _, size = EVENT.unpack_from(frame, HEADER.size)
    start = HEADER.size + EVENT.size
    return kind, frame[start : start + size].decode()
