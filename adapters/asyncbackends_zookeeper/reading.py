"""What is there: every read over one connection, none older than what anybody was told of."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from asyncbackends.coordination.contending import is_entry_name
from asyncbackends.coordination.paths import ROOT, child
from asyncbackends.errors import BackendError
from asyncbackends.protocols.nodes import Node, NodeStat
from asyncbackends_zookeeper.codes import Code, Op, ours
from asyncbackends_zookeeper.connection import Connection, Reply, ReplyAt
from asyncbackends_zookeeper.jute import Znode, names_at, node_at, read_body, znode_at
from asyncbackends_zookeeper.names import Names

__all__ = ("Reading",)

AT_ONCE: Final = 500
"""So many reads are on their way together."""
NOWHERE: Final = Znode(0, 0, 0, 0, 0, 0, 0)
"""Of the root while nobody has made a node."""


class Reading:
    """Reads by path.

    :param alone: the server is the only one; a follower would have to catch up before each read.
    """

    def __init__(self, connection: Connection, names: Names, *, alone: bool) -> None:
        self._connection = connection
        self._names = names
        self._synced = None if alone else names.root

    async def _ask(self, op: Op, path: str) -> Reply:
        body = read_body(self._names.znode(path))
        return await self._connection.ask(op, body, synced=self._synced)

    async def ask_at(self, op: Op, body: bytes, *, synced: bool = False) -> ReplyAt:
        """Ask, and give the place of the reply among all that the server says."""
        return await self._connection.ask_at(op, body, synced=self._synced if synced else None)

    async def node(self, path: str) -> Node | None:
        """Give a node."""
        code, frame = await self._ask(Op.GET_DATA, path)
        if code == Code.OK:
            return node_at(path, frame)[0]
        if code != Code.NO_NODE:
            raise ours(code, f"reading {path!r}")
        return Node(b"", NOWHERE.stat(ROOT)) if path == ROOT else None

    async def znode(self, path: str) -> Znode | None:
        """Give a stat as ZooKeeper has it; None also for a root that was not made yet."""
        return _znode(path, await self._ask(Op.EXISTS, path))

    async def znodes(self, paths: Iterable[str]) -> dict[str, Znode]:
        """Give the stats of those that are there."""
        found: dict[str, Znode] = {}
        ahead = [*paths]
        while ahead:
            these, ahead = ahead[:AT_ONCE], ahead[AT_ONCE:]
            replies = await asyncio.gather(*(self._ask(Op.EXISTS, path) for path in these))
            for path, reply in zip(these, replies, strict=True):
                znode = _znode(path, reply)
                if znode is not None:
                    found[path] = znode
        return found

    async def stat(self, path: str) -> NodeStat | None:
        """Give a stat."""
        znode = await self.znode(path)
        if znode is not None:
            return znode.stat(path)
        return NOWHERE.stat(ROOT) if path == ROOT else None

    async def children(self, path: str) -> list[str] | None:
        """Give the names of the children."""
        code, frame = await self._ask(Op.GET_CHILDREN, path)
        if code == Code.OK:
            return [self._names.name(name) for name in names_at(frame)[0]]
        if code != Code.NO_NODE:
            raise ours(code, f"listing {path!r}")
        return [] if path == ROOT else None

    async def listed_now(self, path: str) -> list[str]:
        """List children on the spot: what this connection has asked for before is in it."""
        body = read_body(self._names.znode(path))
        return await self.listed(self._connection.begin((Op.GET_CHILDREN, body))[0])

    async def listed(self, asked: asyncio.Future[Reply]) -> list[str]:
        """Give what a listing gives, none where there is none."""
        try:
            code, frame = await asked
        except BackendError:
            return []
        if code != Code.OK:
            return []
        return [self._names.name(name) for name in names_at(frame)[0]]

    async def children_of_all(self, paths: Sequence[str]) -> dict[str, list[str]]:
        """Give the names of the children of those nodes that are there."""
        found: dict[str, list[str]] = {}
        for start in range(0, len(paths), AT_ONCE):
            these = paths[start : start + AT_ONCE]
            listed = await asyncio.gather(*map(self.children, these))
            found |= {
                path: names for path, names in zip(these, listed, strict=True) if names is not None
            }
        return found

    async def entries(self, path: str) -> list[NodeStat]:
        """Give the stats of contenders' entries, all of which were there at one moment."""
        while True:
            names = await self.children(path)
            paths = [child(path, name) for name in names or () if is_entry_name(name)]
            found = await self.znodes(paths)
            # What is still there was there when they were listed.
            if len(found) == len(paths):
                return [znode.stat(one) for one, znode in found.items()]


def _znode(path: str, reply: Reply) -> Znode | None:
    code, frame = reply
    if code == Code.OK:
        return znode_at(frame)
    if code != Code.NO_NODE:
        raise ours(code, f"looking for {path!r}")
    return None
