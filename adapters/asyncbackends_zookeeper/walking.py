"""What was there when a watch began, read while it may change.

Replies and events of one connection come in the order in which the server did what they tell of: an
event before a reply is in it already, one after it is not.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from asyncbackends.coordination.paths import child, parent
from asyncbackends.protocols.nodes import Node, WatchScope
from asyncbackends_zookeeper.codes import Code, Op, ours
from asyncbackends_zookeeper.jute import read_body
from asyncbackends_zookeeper.multi import Part, multi_body, read_results
from asyncbackends_zookeeper.names import Names
from asyncbackends_zookeeper.reading import Reading

__all__ = ("Present", "walk")

AT_ONCE: Final = 200


class Present(msgspec.Struct):
    """What was there."""

    nodes: list[Node]
    seen: dict[str, int]
    """The place from which on events of a path, and of what is below, are not told by the nodes."""
    last: int
    """The place of the last reply."""


class Deletions(Protocol):
    """What went while it was read."""

    def first_between(self, path: str, after: int, before: int) -> int | None:
        """Give the place of the first deletion of a path between two places."""
        ...


async def walk(
    reading: Reading,
    names: Names,
    path: str,
    scope: WatchScope,
    deletions: Deletions,
    progress: Callable[[], None],
) -> Present:
    """Read a node, its children, or it and all below it.

    :param progress: is called whenever some were read.
    """
    present = Present([], {}, 0)
    level = [path]
    while level:
        below: list[str] = []
        for start in range(0, len(level), AT_ONCE):
            these = level[start : start + AT_ONCE]
            is_top = these[0] == path
            lists = scope == "tree" or (scope == "children" and is_top)
            found = await asyncio.gather(*(_read(reading, names, one, lists) for one in these))
            progress()
            for one, (node, listing, position) in zip(these, found, strict=True):
                if not is_top:
                    above = parent(one)
                    gone = deletions.first_between(above, present.seen[above], position)
                    if gone is not None:
                        # It may be of another life of its parent, all of which is still to come.
                        present.seen[one] = gone
                        continue
                present.seen[one] = position
                present.last = max(present.last, position)
                if node is not None and not (is_top and scope == "children"):
                    present.nodes.append(node)
                below += [child(one, name) for name in listing]
        level = below
    return present


async def _read(
    reading: Reading, names: Names, path: str, lists: bool
) -> tuple[Node | None, list[str], int]:
    """Read a node and list its children at the same moment."""
    znode = names.znode(path)
    parts = [Part(Op.GET_DATA, read_body(znode))]
    if lists:
        parts.append(Part(Op.GET_CHILDREN, read_body(znode)))
    code, frame, position = await reading.ask_at(Op.MULTI_READ, multi_body(parts))
    if code != Code.OK:
        raise ours(code, f"reading {path!r}")
    found = read_results(path, frame)
    for result in found:
        if isinstance(result, int) and result != Code.NO_NODE:
            raise ours(result, f"reading {path!r}")
    node = next((result for result in found if isinstance(result, Node)), None)
    listed = next((result for result in found if isinstance(result, list)), None)
    return node, [names.name(name) for name in listed or ()], position
