"""Reads the tree: nodes, children, all below a node."""

from collections.abc import Callable, Sequence
from typing import Final

from asyncbackends.coordination.paths import ROOT, is_below, name
from asyncbackends.protocols.nodes import Node, NodeStat, WatchScope
from asyncbackends_etcd import requests
from asyncbackends_etcd.calls import Calls
from asyncbackends_etcd.envelope import Held, plain_head, stat_of
from asyncbackends_etcd.keys import AFTER_SLASH, NEXT, SLASH, Keys, name_in
from asyncbackends_etcd.responses import KeyValue, Ranged, Transacted, ranged, transacted

__all__ = ("ROOT_NODE", "Reads")

NAMES_PAGE: Final = 1000
READS_AT_ONCE: Final = 100
NODES_PAGE: Final = 200
"""Of the largest values these are fewer bytes than one answer may have."""
ROOT_NODE: Final = Node(b"", stat_of(ROOT, 0, 0, plain_head(0), 0, 0))


class Reads:
    """Reads over one link; what names no revision is linearizable."""

    def __init__(self, calls: Calls, keys: Keys) -> None:
        self._calls = calls
        self._keys = keys

    async def range(self, request: bytes) -> Ranged:
        """Ask for a range."""
        return ranged(await self._calls.ask(requests.RANGE, request))

    async def ranges(self, all_requests: Sequence[bytes]) -> tuple[int, list[Ranged]]:
        """Ask for ranges as they are at one revision, and give that.

        Not by a Txn: one that only reads and is cancelled, or whose client dies, ends a whole
        server of etcd 3.5 up to 3.5.4 by a panic.
        """
        first = await self.range(all_requests[0])
        found = [first]
        for start in range(1, len(all_requests), READS_AT_ONCE):
            part = all_requests[start : start + READS_AT_ONCE]
            asked = [requests.at(request, first.revision) for request in part]
            answers = await self._calls.ask_all(requests.RANGE, *asked)
            found += [ranged(answer) for answer in answers]
        return first.revision, found

    async def write(self, request: bytes) -> Transacted:
        """Ask for a transaction that writes."""
        return transacted(await self._calls.ask(requests.TXN, request, wrote=True))

    async def held(self, path: str) -> Held | None:
        """Give a node as it is stored."""
        found = await self.range(requests.range_of(self._keys.of(path)))
        return Held.opened(path, found.kvs[0]) if found.kvs else None

    async def names(self, path: str) -> list[str] | None:
        """Give the names of the direct children; None: there is no such node."""
        start, end = self._keys.below(path)
        revision, kvs = await self._scan(start, start, end, 0, direct=True, keys_only=True)
        if not kvs and path != ROOT:
            node = requests.range_of(self._keys.of(path), keys_only=True)
            there = await self.range(requests.at(node, revision))
            if not there.kvs:
                return None
        return self._names(kvs)

    async def names_at(self, path: str, revision: int) -> list[str]:
        """Give the names of the direct children as they were at a revision."""
        start, end = self._keys.below(path)
        _, kvs = await self._scan(start, start, end, revision, direct=True, keys_only=True)
        return self._names(kvs)

    def _names(self, kvs: list[KeyValue]) -> list[str]:
        paths = (self._keys.path(kv.key) for kv in kvs)
        return [name(path) for path in paths if path is not None]

    async def entries(self, path: str) -> list[NodeStat]:
        """Give the stats of the direct children with hexadecimal names, and of others."""
        below, _ = self._keys.below(path)
        start, end = self._keys.entries(path)
        _, kvs = await self._scan(below, start, end, 0, direct=True)
        return [held.stat for held in self._opened(kvs)]

    async def present(
        self, path: str, scope: WatchScope, progress: Callable[[], None]
    ) -> tuple[int, list[Node]]:
        """Give what a watch covers, parents first, and the revision at which it was so.

        :param progress: is called whenever some were read.
        """
        if scope == "node":
            found = await self.range(requests.range_of(self._keys.of(path)))
            return found.revision, [held.node for held in self._opened(found.kvs)]
        below, end = self._keys.below(path)
        if scope == "children":
            revision, kvs = await self._scan(below, below, end, 0, direct=True, progress=progress)
            return revision, [held.node for held in self._opened(kvs)]
        start, end = self._keys.tree(path)
        revision, kvs = await self._scan(below, start, end, 0, direct=False, progress=progress)
        nodes = [
            held.node
            for held in self._opened(kvs)
            if held.path == path or is_below(held.path, path)
        ]
        # Parents sort before what is below them, but names may sort between.
        return revision, sorted(nodes, key=lambda node: node.stat.path.split("/"))

    def _opened(self, kvs: list[KeyValue]) -> list[Held]:
        paths = ((self._keys.path(kv.key), kv) for kv in kvs)
        return [Held.opened(path, kv) for path, kv in paths if path is not None]

    async def _scan(
        self,
        below: bytes,
        start: bytes,
        end: bytes,
        revision: int,
        *,
        direct: bool,
        keys_only: bool = False,
        progress: Callable[[], None] | None = None,
    ) -> tuple[int, list[KeyValue]]:
        """Read a range page by page, as it is at one revision, and give that.

        :param below: what all keys of the children begin with.
        :param direct: give only children, and do not read much of what is below them.
        """
        found: list[KeyValue] = []
        limit = NAMES_PAGE if keys_only else NODES_PAGE
        while True:
            request = requests.range_of(
                start, end, limit=limit, revision=revision, keys_only=keys_only
            )
            page = await self.range(request)
            if progress is not None:
                progress()
            revision = revision or page.revision
            found += [kv for kv in page.kvs if _is_direct(below, kv)] if direct else page.kvs
            if not page.more or not page.kvs:
                return revision, found
            start = _next(below, page.kvs[-1].key, direct=direct)


def _is_direct(below: bytes, kv: KeyValue) -> bool:
    return SLASH not in kv.key[len(below) :]


def _next(below: bytes, last: bytes, *, direct: bool) -> bytes:
    """Give where to read on after a key; below a child nothing is read on."""
    child = below + name_in(below, last)
    return child + AFTER_SLASH if direct and last != child else last + NEXT
