"""The messages that take the place of a node, or of a session. Pure."""

from typing import Final

from asyncbackends_nats.tree.records import KEPT, TOMBSTONE, Record, tombstone_header
from asyncbackends_nats.tree.subjects import Subjects, path_header
from asyncbackends_nats.tree.units import REPLACING, Message

__all__ = ("BRIEF", "ENDED", "ending", "ending_whatever_it_is", "session_end")

BRIEF: Final = 2
"""Seconds that the end of a contender's entry stays among the entries: locks make many."""

ENDED: Final = REPLACING + TOMBSTONE % KEPT + b"Ab: e\r\n"


def session_end(session_id: str, subjects: Subjects) -> Message:
    """Give the word that a session has ended, if the server has removed its message."""
    return Message(subjects.session(session_id), ENDED, b"", 0)


def ending(record: Record, subjects: Subjects, *, died: int = 0, kept: int = KEPT) -> Message:
    """Give the end of a node, on the condition that it is still as it was seen.

    :param died: the revision at which its session ended, before somebody wrote this.
    """
    headers = tombstone_header(record.created_revision, record.lives, died, kept)
    if subjects.is_long(record.subject):
        headers += path_header(record.path)
    return Message(record.subject, headers, b"", record.sequence, _life(record))


def ending_whatever_it_is(record: Record, subjects: Subjects) -> Message:
    """Give the end of a node that others may have written meanwhile, but not ended."""
    message = ending(record, subjects)
    return message._replace(expected=None, headers=REPLACING + message.headers)


def _life(record: Record) -> str:
    """Name the one end that a life of a node has; those that go with a session need no name."""
    return f"d:{record.created_revision}:{record.subject}" if record.owner is None else ""
