"""Sessions: one message each, which the server removes unless it is written again in time."""

from collections.abc import Iterable, Mapping
from math import ceil, inf
from typing import Final
from uuid import uuid4

from asyncbackends.clock import Clock
from asyncbackends.coordination.wire import SessionUnknownError
from asyncbackends_nats.tree.committing import Committing, OvertakenError
from asyncbackends_nats.tree.endings import ENDED, ending, session_end
from asyncbackends_nats.tree.memory import Memory, OwnSession
from asyncbackends_nats.tree.reading import Reading
from asyncbackends_nats.tree.records import KEPT, Record
from asyncbackends_nats.tree.subjects import Subjects
from asyncbackends_nats.tree.units import Message

__all__ = ("Sessions",)

ALIVE: Final = b"Nats-TTL: %dms\r\nAb: s %d\r\n"
MARKED: Final = b"Nats-TTL: %ds\r\nKV-Operation: PURGE\r\nAb: t\r\n"
PERIOD: Final = KEPT // 4
"""Seconds between two marks of time."""
MOST_CONTENDED: Final = 10_000
MOST_SWEPT: Final = 200
"""Nodes of ended sessions that one look takes away."""


class Sessions:
    """The sessions of one client, over one connection."""

    def __init__(
        self,
        committing: Committing,
        reading: Reading,
        subjects: Subjects,
        memory: Memory,
        clock: Clock,
    ) -> None:
        self._committing = committing
        self._reading = reading
        self._subjects = subjects
        self._memory = memory
        self._clock = clock
        self._marked = 0
        self._swept: dict[str, int] = {}

    async def open(self, ttl: float) -> tuple[str, float]:
        """Open one; give its id and its ttl."""
        session_id = uuid4().hex
        message = self._alive(session_id, ttl, 0)
        self.mark()
        _, sequence = await self._committing.commit({}, [message])
        self._memory.sessions[session_id] = OwnSession(ttl, sequence)
        return session_id, ttl

    def _alive(self, session_id: str, ttl: float, expected: int) -> Message:
        milliseconds = ceil(ttl * 1000)
        headers = ALIVE % (milliseconds, milliseconds)
        return Message(self._subjects.session(session_id), headers, b"", expected)

    async def renew(self, session_id: str) -> bool:
        """Write its message again, on the condition that it is there; False if it is not."""
        own = self._memory.sessions.get(session_id)
        if own is None:
            return False
        self.mark()
        own.settled.clear()
        try:
            while True:
                message = self._alive(session_id, own.ttl, own.sequence)
                try:
                    _, own.sequence = await self._committing.commit({}, [message])
                except OvertakenError:
                    # By an end, or by a renewal whose answer was lost.
                    if not await self._found(session_id, own):
                        return False
                else:
                    return True
        finally:
            own.settled.set()

    async def _found(self, session_id: str, own: OwnSession) -> bool:
        sequence = (await self._reading.sessions([session_id])).get(session_id)
        if sequence is None:
            return False
        own.sequence = max(own.sequence, sequence)
        return True

    async def sequence(self, session_id: str) -> int:
        """Give the sequence of its message, on whose condition a node may go with it.

        :raises SessionUnknownError: it is none of this client's.
        """
        own = self._memory.sessions.get(session_id)
        if own is None:
            raise SessionUnknownError
        await own.settled.wait()
        return own.sequence

    async def look(self, session_id: str) -> int:
        """Give that sequence as the server knows it.

        :raises SessionUnknownError: it has ended.
        """
        own = self._memory.sessions.get(session_id)
        if own is None or not await self._found(session_id, own):
            raise SessionUnknownError
        await own.settled.wait()
        return own.sequence

    def note(self, record: Record) -> None:
        """Know of a node that goes with a session of this client, or of its end."""
        own = self._memory.sessions.get(record.owner or "")
        if own is None:
            return
        if record.is_node:
            own.owned[record.subject] = record
        else:
            own.owned.pop(record.subject, None)
            own.entries.discard(record.subject)

    def enter(self, record: Record) -> None:
        """Know of a contender's entry."""
        self._memory.sessions[record.owner or ""].entries.add(record.subject)

    def has_entered(self, record: Record) -> bool:
        """Say whether a node is an entry that a session of this client has made."""
        own = self._memory.sessions.get(record.owner or "")
        return own is not None and record.subject in own.entries

    def contend(self, path: str) -> None:
        """Say, from time to time, that entries below a path go without a trace."""
        now = self._clock.monotonic()
        if now - self._memory.contended.get(path, -inf) > PERIOD:
            if len(self._memory.contended) >= MOST_CONTENDED:
                self._memory.contended.clear()
            self._memory.contended[path] = now
            headers = MARKED % (KEPT * 2)
            self._committing.tell(Message(self._subjects.contended(path), headers))

    async def end(self, session_id: str) -> None:
        """End one; its nodes are gone at that moment, and are taken away then."""
        own = self._memory.sessions.get(session_id)
        message = Message(self._subjects.session(session_id), ENDED)
        _, sequence = await self._committing.commit({}, [message])
        self._memory.sessions.pop(session_id, None)
        if own is None:
            return
        for record in own.owned.values():
            self._committing.tell(ending(record, self._subjects, died=sequence))

    def sweep(self, dead: Iterable[Record], ended: Mapping[str, Record]) -> None:
        """Take away nodes whose sessions have ended: for everybody else they are gone already.

        :param ended: how those ended, as far as it can still be seen.
        """
        for count, record in enumerate(dead):
            if count >= MOST_SWEPT:
                return
            if self._swept.get(record.subject) == record.sequence:
                continue
            if len(self._swept) >= MOST_SWEPT * 10:
                self._swept.clear()
            self._swept[record.subject] = record.sequence
            end = ended.get(record.owner or "")
            if end is None and record.owner is not None:
                self.tell_end(record.owner)
            died = 0 if end is None else end.sequence
            self._committing.tell(ending(record, self._subjects, died=died))

    def tell_end(self, session_id: str) -> None:
        """Leave word that a session has ended, if the server has removed its message.

        A server removes what is over without a word to those who watch. While it is not over, this
        is refused, and so is all but the first word.
        """
        self._committing.tell(session_end(session_id, self._subjects))

    def mark(self) -> None:
        """Leave a mark from time to time: a revision after one is not older than that time."""
        number = int(self._clock.utc()) // PERIOD
        if number != self._marked:
            self._marked = number
            headers = MARKED % (KEPT * 2)
            self._committing.tell(Message(self._subjects.mark(number), headers, b"", 0))
