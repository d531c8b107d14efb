"""The seam between the coordination core and an engine with a server: what it supplies, no more.

A link is one generation of a connection: it is opened by :class:`Wire`, lives until it is closed
or calls ``lost`` once, and is never used again. All calls happen in one event loop. Driver errors
that leave a coroutine are mapped by :meth:`Wire.error`; a link that is lost ends every call on it
with ConnectionLostError, whose ``maybe_applied`` says whether the request may have reached the
server. A server that cannot answer for now (no leader, still starting) counts as a lost link, too,
for that call alone. Any coroutine may be cancelled: what it began is then done or not, and nothing
else on the link suffers. The core bounds every call by a deadline; arguments are checked.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from asyncbackends.clock import Clock
from asyncbackends.coordination.transaction import Create, NodeOperation
from asyncbackends.errors import BackendError
from asyncbackends.protocols.backend import ServerInfo
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.protocols.nodes import Node, NodeEvent, NodeStat, WatchScope

__all__ = (
    "CoordinationLink",
    "Feed",
    "Followed",
    "LinkEvents",
    "RefusedError",
    "SessionUnknownError",
    "WatchSink",
    "Wire",
)


class RefusedError(Exception):
    """One operation of several was refused, so none was applied."""

    def __init__(self, index: int, error: BackendError) -> None:
        super().__init__(str(error))
        self.index = index
        self.error = error


class SessionUnknownError(Exception):
    """The service surely does not know the session that a node should go with."""


class LinkEvents(Protocol):
    """What a link tells the core."""

    def lost(self, error: BackendError) -> None:
        """The link is gone; it calls nothing after this, and is closed soon."""
        ...

    def session_unknown(self, session_id: str) -> None:
        """The service surely does not know a session, without having been asked."""
        ...


class WatchSink(Protocol):
    """Where a feed puts what it hears."""

    def offer(self, event: NodeEvent) -> None:
        """Take in an event of the watch's scope, in order; the core drops none without a Gap.

        An event may lack stat and value. Keeping a session alive is no event.
        """
        ...

    def progress(self) -> None:
        """Hear that a feed which has not begun yet has read more of what is there.

        There may be more of it than can be read within the time of one call.
        """
        ...

    def broken(self, error: BackendError | None = None) -> None:
        """Hear that events may have been missed: the feed is over, and the link is not.

        :param error: it cannot be followed any more, and this is raised; None: the core reads
            what is there and follows again.
        """
        ...


class Followed(msgspec.Struct, frozen=True):
    """Where a feed began."""

    revision: int
    """What came after it is offered, also what was offered before this was given."""
    nodes: Sequence[Node] | None = None
    """What was there at that revision, in the scope; None if it was not asked for."""


class Feed(Protocol):
    """The following of one path."""

    async def begin(self, since: int | None, *, present: bool) -> Followed:
        """Begin, once; from then on events are offered.

        :param since: the revision after which to begin, None for now.
        :param present: give what is there, too; ``since`` is None then.
        :raises CompactedError: the service does not know any more what came after ``since``.
        :raises InvalidRequestError: ``since`` is ahead of the service.
        """
        ...

    def close(self) -> None:
        """Offer nothing any more; the engine lets the server forget it. Never raises.

        A ``begin`` that is under way goes on, or ends with an error, and not with a cancellation.
        """
        ...


class CoordinationLink(Protocol):
    """One connection to one server."""

    # Sessions.

    async def open_session(self, ttl: float) -> tuple[str, float]:
        """Open a session; give an id that was never used, and the ttl in seconds as granted."""
        ...

    async def renew_session(self, session_id: str) -> bool:
        """Renew it; False: the service surely does not know it any more."""
        ...

    async def end_session(self, session_id: str) -> None:
        """End it now, with all that belongs to it; one that is not known is no error."""
        ...

    # Reading: the present state, or one that is newer than whatever this client was told of.

    async def get(self, path: str) -> Node | None:
        """Give a node."""
        ...

    async def stat(self, path: str) -> NodeStat | None:
        """Give the stat of a node."""
        ...

    async def children(self, path: str) -> list[str] | None:
        """Give the names of the direct children in any order; None: there is no such node."""
        ...

    async def entries(self, path: str) -> list[NodeStat]:
        """Give the stats of the direct children whose names are those of contenders' entries.

        In any order; [] where there is no node. Others may be among them.
        """
        ...

    # Writing.

    async def apply(
        self, operations: Sequence[NodeOperation], session_id: str | None
    ) -> list[NodeStat | None]:
        """Apply operations as a whole or not at all, giving a stat for each create and update.

        :param session_id: what ephemeral nodes go with; None when there are none.
        :raises RefusedError: one was refused, and why.
        :raises SessionUnknownError: nothing was applied.
        """
        ...

    async def arrive(self, entry: Create, session_id: str) -> tuple[NodeStat, bool]:
        """Apply the create of a contender's entry, and look around: in one round trip, at best.

        Give its stat, and True if no other child with the name of an entry was made before it.
        What was read for that was read at the same moment as it was made, or later. False where
        that is not so, or not known.

        :raises RefusedError: it was refused.
        :raises SessionUnknownError: nothing was applied.
        """
        ...

    # Watching and the rest.

    def feed(self, path: str, scope: WatchScope, sink: WatchSink) -> Feed:
        """Give a feed that has not begun."""
        ...

    async def server_info(self) -> ServerInfo:
        """Ask what the server is."""
        ...

    async def close(self) -> None:
        """End the connection; sessions are left as they are."""
        ...


class Wire(Protocol):
    """What opens links to one service, for one backend."""

    @property
    def clock(self) -> Clock:
        """What sessions and deadlines go by."""
        ...

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        """What holds with these options and, once there was a link, with this server."""
        ...

    @property
    def limits(self) -> Limits:
        """What it can take."""
        ...

    @property
    def remembers_names(self) -> bool:
        """Whether reading a node's children is the slower the more were there before.

        Then contenders' entries take names of their client's again. A Guard must hold by what made
        the entry, at the very moment at which it is applied.
        """
        ...

    def error(self, exc: Exception) -> BackendError | None:
        """Give our error for a driver's, None for what is not the driver's."""
        ...

    async def open(self, endpoint: str, events: LinkEvents) -> CoordinationLink:
        """Open a link; the core bounds it.

        :raises BackendError: or a driver's error.
        """
        ...

    async def close(self) -> None:
        """Let go of whatever is left; after the last link was closed."""
        ...
