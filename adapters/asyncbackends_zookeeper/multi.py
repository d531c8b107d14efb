"""Several operations in one request, all or none: ZooKeeper's multi and multiRead. Pure."""

from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple

from asyncbackends.protocols.nodes import Node
from asyncbackends_zookeeper.codes import Code, Op
from asyncbackends_zookeeper.jute import (
    EPHEMERAL,
    HEADER,
    PERSISTENT,
    STAT_SIZE,
    Znode,
    create_body,
    names_at,
    node_at,
    set_body,
    znode_at,
)

__all__ = (
    "ENTRY_VERSION",
    "MOST_BYTES",
    "Failure",
    "Part",
    "arrived",
    "created",
    "created_with_stat",
    "multi_body",
    "read_results",
    "results_of",
    "size_of",
)

PART: Final = Struct(">i?i")
INT: Final = Struct(">i")
ANY: Final = -1
ENTRY_VERSION: Final = 2
"""Of a contender's entry; what anybody else makes begins at 0, or at 1 in a transaction of ours."""
END: Final = PART.pack(-1, True, -1)
MOST_BYTES: Final = 1_048_000
"""Of a request: servers take 1 048 575 bytes, their ``jute.maxbuffer``."""


class Part(NamedTuple):
    """One operation of several."""

    op: Op
    body: bytes


class Failure(NamedTuple):
    """Which operation was refused, and why."""

    at: int
    code: int


def created(znode: str, acl: bytes) -> list[Part]:
    """Give what makes a node without a value, and does not tell its stat."""
    return [Part(Op.CREATE, create_body(znode, b"", acl, PERSISTENT))]


def created_with_stat(znode: str, value: bytes, acl: bytes, *, ephemeral: bool) -> list[Part]:
    """Give what makes a node; the last part tells its stat.

    Of several operations a create tells none, not even create2 (3.8); a setData does.
    """
    create = create_body(znode, b"", acl, EPHEMERAL if ephemeral else PERSISTENT)
    return [Part(Op.CREATE, create), Part(Op.SET_DATA, set_body(znode, value, ANY))]


def arrived(znode: str, value: bytes, acl: bytes) -> list[Part]:
    """Give what makes a contender's entry, whose version is then :data:`ENTRY_VERSION`."""
    made = create_body(znode, b"", acl, EPHEMERAL)
    updates = [set_body(znode, b"", ANY)] * (ENTRY_VERSION - 1)
    return [
        Part(Op.CREATE, made),
        *(Part(Op.SET_DATA, one) for one in (*updates, set_body(znode, value, ANY))),
    ]


def multi_body(parts: Sequence[Part]) -> bytes:
    """Encode operations."""
    pieces: list[bytes] = []
    for part in parts:
        pieces += (PART.pack(part.op, False, -1), part.body)
    pieces.append(END)
    return b"".join(pieces)


def size_of(part: Part) -> int:
    """Say how many bytes an operation takes."""
    return PART.size + len(part.body)


def results_of(frame: bytes) -> list[Znode | None] | Failure:
    """Decode what became of them: a stat for each setData, None for the others."""
    found: list[Znode | None] = []
    failure: Failure | None = None
    offset = HEADER.size
    while True:
        kind, done, _ = PART.unpack_from(frame, offset)
        offset += PART.size
        if done:
            return found if failure is None else failure
        znode: Znode | None = None
        if kind == -1:
            (code,) = INT.unpack_from(frame, offset)
            offset += INT.size
            # Before the one that was refused each says 0, after it each that it was left out.
            if failure is None and code != Code.OK:
                failure = Failure(len(found), code)
        elif kind == Op.CREATE:
            offset += INT.size + INT.unpack_from(frame, offset)[0]
        elif kind == Op.SET_DATA:
            znode = znode_at(frame, offset)
            offset += STAT_SIZE
        found.append(znode)


def read_results(path: str, frame: bytes) -> list[Node | list[str] | int]:
    """Decode reads of one node: its value and stat, the names of its children, or a code."""
    found: list[Node | list[str] | int] = []
    offset = HEADER.size
    while True:
        kind, done, _ = PART.unpack_from(frame, offset)
        offset += PART.size
        if done:
            return found
        result: Node | list[str] | int
        if kind == Op.GET_DATA:
            result, offset = node_at(path, frame, offset)
        elif kind == Op.GET_CHILDREN:
            result, offset = names_at(frame, offset)
        else:
            (result,) = INT.unpack_from(frame, offset)
            offset += INT.size
        found.append(result)
