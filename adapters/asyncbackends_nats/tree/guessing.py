"""Writes by what this client was last told: one trip where that is still so, which the server checks."""

from collections.abc import Sequence

from asyncbackends.clock import Clock
from asyncbackends.coordination.paths import ROOT, parent
from asyncbackends.coordination.transaction import Create, Delete, Guard, NodeOperation, Update
from asyncbackends.protocols.nodes import NodeStat
from asyncbackends_nats.tree.committing import Committing, OvertakenError
from asyncbackends_nats.tree.endings import BRIEF, ending
from asyncbackends_nats.tree.memory import Memory
from asyncbackends_nats.tree.reading import Reading
from asyncbackends_nats.tree.records import KEPT, Record, node_header
from asyncbackends_nats.tree.sessions import Sessions
from asyncbackends_nats.tree.singles import Singles
from asyncbackends_nats.tree.subjects import Subjects, path_header
from asyncbackends_nats.tree.units import Message

__all__ = ("Guessing",)


class Guessing:
    """The short way of the commonest writes."""

    def __init__(
        self,
        committing: Committing,
        reading: Reading,
        singles: Singles,
        sessions: Sessions,
        subjects: Subjects,
        memory: Memory,
        clock: Clock,
    ) -> None:
        self._committing = committing
        self._reading = reading
        self._singles = singles
        self._sessions = sessions
        self._subjects = subjects
        self._memory = memory
        self._clock = clock

    async def apply(
        self, operations: Sequence[NodeOperation], session_id: str | None
    ) -> list[NodeStat | None] | None:
        """Apply operations; None: it takes the long way, and nothing was written."""
        match operations:
            case [Create() as create]:
                return await self._create(create, session_id)
            case [Update() as update]:
                return await self._update(update)
            case [Guard(ticket), Delete(path)] if ticket.path == path:
                known = self._memory.known(path)
                if known is not None and known.created_revision == ticket.order:
                    return await self._withdraw(known)
            case [Delete(path, _, None)]:
                known = self._memory.known(path)
                if known is not None and known.owner is not None:
                    gone = await self._withdraw(known)
                    return None if gone is None else [None]
            case _:
                pass
        return None

    async def _create(self, create: Create, session_id: str | None) -> list[NodeStat | None] | None:
        path, above = create.path, parent(create.path)
        if path == ROOT or self._memory.known(path) is not None:
            return None
        conditions: dict[str, int] = {}
        if above != ROOT:
            known = self._memory.known(above)
            if known is None or known.owner is not None:
                return None
            conditions[known.subject] = known.sequence
        if await self._reading.last(self._subjects.node(path), path) is not None:
            return None
        if session_id is not None:
            await self._sessions.look(session_id)
        now = int(self._clock.utc() * 1_000_000)
        record = await self._singles.create(path, create.value, now, session_id, conditions)
        if record is None:
            self._memory.forget(above)
            return None
        self._note(record)
        return [record.stat]

    async def arrive(self, entry: Create, session_id: str) -> NodeStat | None:
        """Make a contender's entry, whose name nobody else has; None: it takes the long way."""
        above = parent(entry.path)
        session = await self._sessions.sequence(session_id)
        conditions = {self._subjects.session(session_id): session}
        if above != ROOT:
            known = self._memory.known(above)
            if known is None or known.owner is not None:
                return None
            conditions = {known.subject: known.sequence}
        self._sessions.contend(above)
        now = int(self._clock.utc() * 1_000_000)
        record = await self._singles.create(
            entry.path, entry.value, now, session_id, conditions, is_unique=True
        )
        if record is None:
            self._memory.forget(above)
            return None
        self._note(record)
        self._sessions.enter(record)
        return record.stat

    def _note(self, record: Record) -> None:
        self._memory.learn(record)
        if record.owner is not None:
            self._sessions.note(record)

    async def _update(self, update: Update) -> list[NodeStat | None] | None:
        known = self._memory.known(update.path)
        if known is None or known.owner is not None:
            return None
        if update.expected_version not in {None, known.sequence}:
            return None
        now = int(self._clock.utc() * 1_000_000)
        headers = node_header(now, known.created, known.created_revision, None, known.lives)
        if self._subjects.is_long(known.subject):
            headers += path_header(update.path)
        message = Message(known.subject, headers, update.value, known.sequence)
        try:
            _, last = await self._committing.commit({}, [message])
        except OvertakenError:
            self._memory.forget(update.path)
            return None
        record = Record(
            known.subject,
            last,
            "n",
            update.path,
            b"",
            now,
            known.created,
            known.created_revision,
            None,
            known.lives,
        )
        self._memory.learn(record)
        return [record.stat]

    async def _withdraw(self, known: Record) -> list[NodeStat | None] | None:
        """Take an ephemeral node away, which has nothing below it."""
        kept = KEPT
        if self._sessions.has_entered(known) and not self._subjects.is_long(known.subject):
            kept = BRIEF
            self._sessions.contend(parent(known.path))
        message = ending(known, self._subjects, kept=kept)
        try:
            _, last = await self._committing.commit({}, [message])
        except OvertakenError:
            self._memory.forget(known.path)
            return None
        self._memory.forget(known.path)
        self._sessions.note(Record(known.subject, last, "d", known.path, owner=known.owner))
        return [None, None]
