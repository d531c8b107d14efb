"""Messages that the stream stores as a whole or not at all, each on the conditions it has. Pure.

A condition on a subject that is not written travels in a message of its own, on a subject that
nobody reads, and comes first: the server refuses one on what the same batch wrote before it.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

__all__ = ("BRIEFLY", "MOST_MESSAGES", "REPLACING", "Frames", "Message", "frames")

MOST_MESSAGES: Final = 1000
"""Of one batch: the server's limit."""
EXPECTED: Final = b"Nats-Expected-Last-Subject-Sequence: %d\r\n"
EXPECTED_OF: Final = b"Nats-Expected-Last-Subject-Sequence-Subject: %s\r\n"
BATCH: Final = b"Nats-Batch-Id: %s\r\nNats-Batch-Sequence: %d\r\n"
COMMIT: Final = b"Nats-Batch-Commit: 1\r\n"
FIRST: Final = b"NATS/1.0\r\n"
REPLACING: Final = b"Nats-Rollup: sub\r\n"
"""Removes what was on the subject for good.

A limit of messages per subject does not: what it removed comes back when the server is killed and
what took its place has expired by then.
"""
BRIEFLY: Final = b"Nats-TTL: 1s\r\nKV-Operation: PURGE\r\n"


class Message(NamedTuple):
    """What is written to one subject."""

    subject: str
    headers: bytes
    """Whole lines."""
    body: bytes = b""
    expected: int | None = None
    """The sequence of the last message of the subject, 0 for none; None if it does not matter."""
    name: str = ""
    """Of two messages of one name, soon after one another, only the first is stored."""


class Frames(NamedTuple):
    """Several messages as they are sent: the last one has an answer, for all."""

    before: bytes
    subject: str
    headers: bytes
    body: bytes
    size: int
    skipped: int
    """So many of them only carry conditions, and come first."""

    def sequence(self, last: int, index: int) -> int:
        """Give the sequence of a message by its place among the written ones."""
        return last - self.size + self.skipped + index + 1


def frames(
    conditions: Mapping[str, int], messages: Sequence[Message], spare: str, batch: bytes
) -> Frames:
    """Give the frames of a unit.

    :param conditions: the sequences of the last messages that must match these filters.
    :param spare: a subject that nobody reads, for conditions.
    :param batch: a name that no other batch has.
    """
    waiting = [(EXPECTED + EXPECTED_OF) % (at, one.encode()) for one, at in conditions.items()]
    written: list[tuple[str, bytes, bytes]] = []
    for index, message in enumerate(messages):
        headers = message.headers
        if message.expected:
            headers = REPLACING + headers
        if message.expected is not None:
            headers = EXPECTED % message.expected + headers
        elif waiting and index == 0:
            # It has room for one.
            headers = waiting.pop() + headers
        if message.name:
            headers = b"Nats-Msg-Id: %s\r\n%s" % (message.name.encode(), headers)
        written.append((message.subject, headers, message.body))
    skipped = len(waiting)
    written[:0] = [(spare, BRIEFLY + one, b"") for one in waiting]
    count = len(written)
    if count == 1:
        subject, headers, body = written[0]
        return Frames(b"", subject, b"%s%s\r\n" % (FIRST, headers), body, 1, skipped)
    before: list[bytes] = []
    for number, (subject, headers, body) in enumerate(written[:-1], 1):
        block = b"%s%s%s\r\n" % (FIRST, BATCH % (batch, number), headers)
        size = len(block)
        line = f"HPUB {subject} {size} {size + len(body)}\r\n".encode()
        before.append(b"%s%s%s\r\n" % (line, block, body))
    subject, headers, body = written[-1]
    last = b"%s%s%s%s\r\n" % (FIRST, BATCH % (batch, count), COMMIT, headers)
    return Frames(b"".join(before), subject, last, body, count, skipped)
