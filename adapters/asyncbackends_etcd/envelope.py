"""What stands before a node's value: etcd keeps no times, and no revision of what comes anew. Pure.

A node that a transaction takes away and makes again is one put to etcd, so its key keeps the
revision by which it was created first. Such a value has a head that says so.
"""

from datetime import UTC, datetime
from typing import Final

import msgspec

from asyncbackends.protocols.nodes import Node, NodeStat
from asyncbackends_etcd.responses import KeyValue

__all__ = ("AFTER_PLAIN", "Held", "again_head", "head_time", "plain_head", "sealed")

PLAIN, AGAIN = b"\x01", b"\x02"
AFTER_PLAIN: Final = AGAIN
"""Whatever is not AGAIN sorts before it."""
TIME: Final = 8
HERE: Final = 0
"""The revision that made it is the one that put it."""
PLAIN_HEAD: Final = 1 + TIME
AGAIN_HEAD: Final = 1 + 8 + TIME


def plain_head(created: int) -> bytes:
    """Begin the value of a node that is made, at a time in milliseconds since 1970."""
    return PLAIN + created.to_bytes(TIME)


def again_head(created: int, revision: int = HERE) -> bytes:
    """Begin that of one that came again, by the revision that puts it or by an earlier one."""
    return AGAIN + revision.to_bytes(8) + created.to_bytes(TIME)


def head_time(head: bytes) -> int:
    """Give when the node was made."""
    return int.from_bytes(head[-TIME:])


def sealed(head: bytes, modified: int, value: bytes) -> bytes:
    """Give what is stored."""
    return head + max(modified, head_time(head)).to_bytes(TIME) + value


def moment(milliseconds: int) -> datetime:
    """Give a time; one that cannot be is 1970."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)


class Held(msgspec.Struct, frozen=True):
    """A node as it is stored, opened."""

    path: str
    head: bytes
    """For the next value of the same node."""
    modified: int
    value: bytes
    kv: KeyValue

    @classmethod
    def opened(cls, path: str, kv: KeyValue) -> "Held":
        """Open one; what somebody else put there is a value of 1970."""
        stored = kv.value
        kind = stored[:1]
        size = AGAIN_HEAD if kind == AGAIN else PLAIN_HEAD
        if kind not in {PLAIN, AGAIN} or len(stored) < size + TIME:
            return cls(path, plain_head(0), 0, stored, kv)
        head, modified = stored[:size], int.from_bytes(stored[size : size + TIME])
        if kind == AGAIN and int.from_bytes(head[1:9]) == HERE:
            head = again_head(head_time(head), kv.mod_revision)
        return cls(path, head, modified, stored[size + TIME :], kv)

    @property
    def is_plain(self) -> bool:
        """Say whether etcd knows which revision made it."""
        return self.kv.value[:1] < AFTER_PLAIN

    @property
    def came_again(self) -> bool:
        """Say whether this very value took the place of another node."""
        stored = self.kv.value
        return stored[:1] == AGAIN and int.from_bytes(stored[1:9]) == HERE

    @property
    def created_revision(self) -> int:
        """Give which revision made it."""
        if self.head[:1] == AGAIN:
            return int.from_bytes(self.head[1:9])
        return self.kv.create_revision

    @property
    def stat(self) -> NodeStat:
        """Give its stat."""
        kv = self.kv
        return stat_of(
            self.path, self.created_revision, kv.mod_revision, self.head, self.modified, kv.lease
        )

    @property
    def node(self) -> Node:
        """Give it."""
        return Node(self.value, self.stat)


def stat_of(
    path: str, created_revision: int, revision: int, head: bytes, modified: int, lease: int
) -> NodeStat:
    """Give a stat; the version is the revision that put it last."""
    created = moment(head_time(head))
    return NodeStat(
        path,
        revision,
        created_revision,
        revision,
        created,
        created if modified == head_time(head) else moment(modified),
        session_name(lease) if lease else None,
    )


def session_name(lease: int) -> str:
    """Give the id of the session that a lease is."""
    return f"{lease:x}"
