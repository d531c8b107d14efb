"""Writes of one message, in the place of a batch: those take a server milliseconds each.

A message has room for one condition, and the name of a message is another one: of those that found
nothing on a subject only the first is stored. Every other way to put something where nothing is has
the same name, and so has every end of one life of a node. A server knows names for two minutes, and
an end stays for longer, so nothing is taken for what it followed.
"""

from collections.abc import Mapping

from asyncbackends_nats.tree.committing import Committing, OvertakenError
from asyncbackends_nats.tree.endings import ending_whatever_it_is
from asyncbackends_nats.tree.reading import Reading
from asyncbackends_nats.tree.records import Record, node_header, tombstone_header
from asyncbackends_nats.tree.subjects import Subjects, path_header
from asyncbackends_nats.tree.units import Message

__all__ = ("Singles", "first_name")


def first_name(subject: str) -> str:
    """Name whatever is the first to be on a subject."""
    return f"c:{subject}"


class Singles:
    """Creates and deletes of one message."""

    def __init__(self, committing: Committing, reading: Reading, subjects: Subjects) -> None:
        self._committing = committing
        self._reading = reading
        self._subjects = subjects

    async def create(
        self,
        path: str,
        value: bytes,
        now: int,
        owner: str | None,
        conditions: Mapping[str, int],
        *,
        is_unique: bool = False,
    ) -> Record | None:
        """Make a node where nothing was found on its subject; None: somebody else was first.

        :param conditions: at most one.
        :param is_unique: nobody else has the path.
        """
        subject = self._subjects.node(path)
        headers = node_header(now, owner=owner)
        if self._subjects.is_long(subject):
            headers += path_header(path)
        name = "" if is_unique else first_name(subject)
        message = Message(subject, headers, value, None, name)
        try:
            _, sequence = await self._committing.commit(conditions, [message])
        except OvertakenError as overtaken:
            if overtaken.by_name:
                await self.free(subject, path)
            return None
        return Record(subject, sequence, "n", path, b"", now, now, sequence, owner)

    async def free(self, subject: str, path: str) -> None:
        """See that a subject can be written on which there is nothing, and once was.

        Somebody took it away behind our back: a purge, or an operator.
        """
        if await self._reading.last(subject, path) is not None:
            return
        message = Message(subject, tombstone_header(0), b"", 0)
        if self._subjects.is_long(subject):
            message = message._replace(headers=message.headers + path_header(path))
        try:
            await self._committing.commit({}, [message])
        except OvertakenError:
            return

    async def delete(self, record: Record, below: Mapping[str, int]) -> int | None:
        """End a node below which there is nothing; None: something has changed."""
        message = ending_whatever_it_is(record, self._subjects)
        try:
            _, sequence = await self._committing.commit(below, [message])
        except OvertakenError:
            return None
        return sequence
