"""The values that the coordination service takes and gives, all frozen."""

from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from asyncbackends.protocols.values import Fence

__all__ = ("Node", "NodeEvent", "NodeStat", "NodeValue", "Ticket", "WatchScope")

NodeValue: TypeAlias = bytes | str | None
"""What a node may be given: text is stored as UTF-8, None as no bytes."""

WatchScope: TypeAlias = Literal["node", "children", "tree"]
"""The node itself, the coming and going of its direct children, or the node and all below it."""


class NodeStat(msgspec.Struct, frozen=True):
    """What the service keeps beside a node's value.

    ``created`` and ``modified`` are UTC and may be a client's clock: never order by them; the
    revisions are what orders. ``version`` is opaque, for ``expected_version`` alone.
    """

    path: str
    version: int
    created_revision: int
    modified_revision: int
    created: datetime
    modified: datetime
    ephemeral_owner: str | None = None
    """The id of the session that the node goes with."""

    @property
    def ctime(self) -> int:
        """``created`` in milliseconds since 1970."""
        return round(self.created.timestamp() * 1000)

    @property
    def mtime(self) -> int:
        """``modified`` in milliseconds since 1970."""
        return round(self.modified.timestamp() * 1000)


class Node(msgspec.Struct, frozen=True):
    """A node's value and its stat."""

    value: bytes
    stat: NodeStat


class NodeEvent(msgspec.Struct, frozen=True):
    """A node came, changed or went.

    ``stat`` and ``value`` are None on ``deleted``, and where the engine's events do not carry
    them; ``revision`` is None where the engine cannot say.
    """

    kind: Literal["created", "updated", "deleted"]
    path: str
    revision: int | None = None
    stat: NodeStat | None = None
    value: bytes | None = None


class Ticket(msgspec.Struct, frozen=True):
    """A contender's place on a path: the lowest ``order`` is first.

    ``path`` is the contender's own ephemeral node, a child of the path contended for.
    """

    path: str
    order: int
    session_id: str
    fence: Fence
    """``order`` as a token, under the name of the path contended for."""
