"""What one message of the stream says of a node, a session or their end. Pure.

The header ``Ab`` tells all but what the server adds: its sequence is the node's version. What is
the same as in most cases is a dash.
"""

from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import msgspec

from asyncbackends.protocols.nodes import Node, NodeStat

__all__ = (
    "ENDED_SESSION",
    "GONE",
    "MARK",
    "SESSION",
    "TOMBSTONE",
    "Record",
    "Sign",
    "after",
    "node_header",
    "parsed",
    "tombstone_header",
)

TAG: Final = b"\r\nAb: "
NOTHING: Final = b"-"
GONE: Final = "d"
SESSION: Final = "s"
ENDED_SESSION: Final = "e"
MARK: Final = "t"

KEPT: Final = 150
"""Seconds that an end is kept, so that a watch that begins later still hears of it.

Longer than the server knows ids: so what comes after an end was told apart by the end.
"""
TOMBSTONE: Final = b"Nats-TTL: %ds\r\nKV-Operation: PURGE\r\n"
"""An end that goes by itself: after one that says so the server leaves no marker of its own."""
MOST_LIVES: Final = 8

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Sign = Literal["n", "d", "s", "e", "r", "?"]
"""A node, the end of one, a session, the end of one, the stream's birth; anything else is as good as nothing."""


class Record(msgspec.Struct):
    """The last message of a subject."""

    subject: str
    sequence: int
    sign: str
    path: str = ""
    value: bytes = b""
    modified: int = 0
    """Microseconds since 1970."""
    created: int = 0
    created_revision: int = 0
    owner: str | None = None
    lives: str = ""
    """Lives of the node that ended before this one, as far as anybody can still ask for them."""
    ttl: float = 0.0
    """Of a session: the seconds after which the server removes it."""
    died: int = 0
    """Of an end: the revision at which it ended with its session; 0 is this message's own."""

    @property
    def is_node(self) -> bool:
        """Whether there is a node, if its owner lives."""
        return self.sign == "n"

    @property
    def stat(self) -> NodeStat:
        """The stat of a node."""
        return NodeStat(
            self.path,
            self.sequence,
            self.created_revision,
            self.sequence,
            EPOCH + timedelta(microseconds=self.created),
            EPOCH + timedelta(microseconds=self.modified),
            self.owner,
        )

    @property
    def node(self) -> Node:
        """The node."""
        return Node(self.value, self.stat)

    def was_there(self, revision: int) -> bool | None:
        """Say whether the node was there after a revision that is older than this; None: unknown.

        What became of its owner is for others to know.
        """
        if self.created_revision <= revision:
            return self.sign == "n" or (self.died or self.sequence) > revision
        first: int | None = None
        for life in self.lives.split(",") if self.lives else ():
            began, _, ended = life.partition("-")
            first = int(began) if first is None else first
            if int(began) <= revision:
                if not int(ended):
                    return None
                if revision < int(ended):
                    return True
        if first is not None and revision < first and self.lives.count(",") >= MOST_LIVES - 1:
            return None
        return False


def after(record: Record | None, ended: int) -> str:
    """Give the lives that one had which begins after a record; ``ended`` is 0 where unknown."""
    if record is None or record.sign not in {"n", GONE}:
        return ""
    end = record.died or record.sequence if record.sign == GONE else ended
    lives = [one for one in record.lives.split(",") if one]
    return ",".join([*lives, f"{record.created_revision}-{end}"][-MOST_LIVES:])


def node_header(
    modified: int,
    created: int = 0,
    created_revision: int = 0,
    owner: str | None = None,
    lives: str = "",
) -> bytes:
    """Give the header of a node; nothing is said of its creation by the message that creates it."""
    if not created_revision and owner is None and not lives:
        return b"Ab: n %d\r\n" % modified
    text = f"Ab: n {modified} {created} {created_revision} {owner or '-'} {lives or '-'}\r\n"
    return text.encode()


def tombstone_header(
    created_revision: int, lives: str = "", died: int = 0, kept: int = KEPT
) -> bytes:
    """Give the headers of the end of a node."""
    text = f"Ab: d {created_revision} {lives or '-'} {died}\r\n"
    return TOMBSTONE % kept + text.encode()


def parsed(subject: str, path: str | None, sequence: int, headers: bytes, value: bytes) -> Record:
    """Read a message; a stranger's is as good as nothing."""
    start = headers.find(TAG)
    if start < 0:
        return Record(subject, sequence, "?", path or "")
    start += len(TAG)
    words = headers[start : headers.index(b"\r\n", start)].decode("ascii", "replace").split(" ")
    sign = words[0]
    try:
        if sign == SESSION and path is None:
            return Record(subject, sequence, sign, ttl=int(words[1]) / 1000)
        if sign == "n" and path is not None:
            return _node(subject, path, sequence, words, value)
        if sign == GONE and path is not None:
            lives = "" if words[2] == "-" else words[2]
            return Record(
                subject,
                sequence,
                sign,
                path,
                created_revision=int(words[1]) or sequence,
                lives=lives,
                died=int(words[3]),
            )
    except (ValueError, IndexError):
        return Record(subject, sequence, "?", path or "")
    return Record(subject, sequence, sign if path is None else "?", path or "", value)


def _node(subject: str, path: str, sequence: int, words: list[str], value: bytes) -> Record:
    modified = int(words[1])
    if len(words) == 2:
        return Record(subject, sequence, "n", path, value, modified, modified, sequence)
    created, created_revision = int(words[2]), int(words[3])
    return Record(
        subject,
        sequence,
        "n",
        path,
        value,
        modified,
        created or modified,
        created_revision or sequence,
        None if words[4] == "-" else words[4],
        "" if words[5] == "-" else words[5],
    )
