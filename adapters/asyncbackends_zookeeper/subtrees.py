"""A node and all below it, deleted in one request."""

from typing import Final

from asyncbackends.coordination.paths import child
from asyncbackends.errors import BackendError
from asyncbackends_zookeeper.codes import Code, Op, ours
from asyncbackends_zookeeper.connection import Connection
from asyncbackends_zookeeper.jute import delete_body
from asyncbackends_zookeeper.multi import MOST_BYTES, Failure, Part, multi_body, results_of, size_of
from asyncbackends_zookeeper.names import Names
from asyncbackends_zookeeper.reading import Reading

__all__ = ("delete_tree",)

ANY: Final = -1
AROUND: Final = 64
"""Bytes of a request beside its operations."""
RACES: Final = frozenset({Code.NO_NODE, Code.NOT_EMPTY, Code.BAD_VERSION})


async def delete_tree(
    connection: Connection, names: Names, reading: Reading, path: str, version: int
) -> bool:
    """Delete a node and all below it; False: something moved meanwhile, and it has to be asked anew.

    What has no room in one request goes in several, each from the leaves: then it is not atomic.
    """
    paths = await _below(reading, path)
    batches: list[list[Part]] = [[]]
    room = MOST_BYTES - AROUND
    for one in reversed(paths):
        own = version if one == path else ANY
        part = Part(Op.DELETE, delete_body(names.znode(one), own))
        if size_of(part) > room:
            batches.append([])
            room = MOST_BYTES - AROUND
        room -= size_of(part)
        batches[-1].append(part)
    applied = False
    for batch in batches:
        try:
            code, frame = await connection.ask(Op.MULTI, multi_body(batch))
        except BackendError as error:
            error.maybe_applied |= applied
            raise
        if code == Code.OK:
            results = results_of(frame)
            if not isinstance(results, Failure):
                applied = True
                continue
            code = results.code
        if code in RACES:
            return False
        refused = ours(code, f"deleting {path!r}")
        refused.maybe_applied = applied
        raise refused
    return True


async def _below(reading: Reading, path: str) -> list[str]:
    """Give a node and all below it, each after its parent."""
    found: list[str] = []
    level = [path]
    while level:
        found += level
        listed = await reading.children_of_all(level)
        level = [child(one, name) for one, listing in listed.items() for name in listing]
    return found
