"""The messages that take the place of a node. Pure."""

import re
from typing import Final

from asyncbackends.coordination.paths import name
from asyncbackends_nats.tree.records import KEPT, Record, tombstone_header
from asyncbackends_nats.tree.subjects import Subjects, path_header
from asyncbackends_nats.tree.units import Message

__all__ = ("ending", "endings")

ENTRY: Final = re.compile(r"[0-9a-f]{32}")
BRIEF: Final = 2
"""Seconds that the end of a contender's entry stays among the entries: locks make many."""


def ending(record: Record, subjects: Subjects, *, died: int = 0, kept: int = KEPT) -> Message:
    """Give the end of a node, on the condition that it is still as it was seen.

    :param died: the revision at which its session ended, before somebody wrote this.
    """
    headers = tombstone_header(record.created_revision, record.lives, died, kept)
    if subjects.is_long(record.subject):
        headers += path_header(record.path)
    return Message(record.subject, headers, b"", record.sequence)


def endings(record: Record, subjects: Subjects) -> list[Message]:
    """Give the end of a node that is deleted.

    That of a contender's entry, whose name nobody uses again, is soon away from where entries are
    listed; a note elsewhere is kept for watches that begin later.
    """
    is_entry = record.owner is not None and ENTRY.fullmatch(name(record.path)) is not None
    if not is_entry or subjects.is_long(record.subject):
        return [ending(record, subjects)]
    note = Message(subjects.note(record.subject), ending(record, subjects).headers)
    return [ending(record, subjects, kept=BRIEF), note]
