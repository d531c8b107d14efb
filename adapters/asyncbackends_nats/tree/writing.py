"""Applies operations: reads, evaluates, and has stored what comes of it if nothing has changed."""

from collections.abc import Sequence
from typing import Final

from asyncbackends.clock import Clock
from asyncbackends.coordination.evaluating import Evaluation, Write, evaluate, looks_of
from asyncbackends.coordination.paths import ancestors
from asyncbackends.coordination.transaction import Create, Delete, NodeOperation
from asyncbackends.errors import InvalidRequestError
from asyncbackends.protocols.nodes import NodeStat
from asyncbackends_nats.tree.committing import Committing, OvertakenError, pause
from asyncbackends_nats.tree.deleting import Deleting
from asyncbackends_nats.tree.endings import endings
from asyncbackends_nats.tree.guessing import Guessing
from asyncbackends_nats.tree.looking import Look
from asyncbackends_nats.tree.memory import Memory
from asyncbackends_nats.tree.reading import Reading
from asyncbackends_nats.tree.records import Record, after, node_header
from asyncbackends_nats.tree.sessions import Sessions
from asyncbackends_nats.tree.subjects import Subjects, path_header
from asyncbackends_nats.tree.units import MOST_MESSAGES, Message

__all__ = ("Writing",)

MOST_PARENTS: Final = 900
"""Parents that one unit makes; more come before it, in units of their own."""


class Writing:
    """Writes of one client, over one connection."""

    def __init__(
        self,
        committing: Committing,
        reading: Reading,
        sessions: Sessions,
        subjects: Subjects,
        memory: Memory,
        clock: Clock,
    ) -> None:
        self._committing = committing
        self._reading = reading
        self._sessions = sessions
        self._subjects = subjects
        self._memory = memory
        self._clock = clock
        self._guessing = Guessing(committing, sessions, subjects, memory, clock)
        self._deleting = Deleting(committing, reading, sessions, subjects, memory)

    async def apply(
        self, operations: Sequence[NodeOperation], session_id: str | None
    ) -> list[NodeStat | None]:
        """See :class:`asyncbackends.coordination.wire.CoordinationLink`."""
        first = operations[0]
        if isinstance(first, Delete) and first.recursive:
            await self._deleting.delete(first)
            return [None]
        stats = await self._guessing.apply(operations, session_id)
        tries = 0
        while stats is None:
            await pause(tries)
            if isinstance(first, Create) and first.make_parents:
                await self._make_far_parents(first.path)
            stats = await self._try(operations, session_id)
            tries += 1
        return stats

    async def _make_far_parents(self, path: str) -> None:
        above = ancestors(path)
        for end in range(MOST_PARENTS, len(above), MOST_PARENTS):
            if await self._reading.living(above[end - 1]) is None:
                await self.apply([Create(above[end - 1])], None)

    async def _try(
        self, operations: Sequence[NodeOperation], session_id: str | None
    ) -> list[NodeStat | None] | None:
        """Try once; None: somebody wrote meanwhile."""
        at = None if session_id is None else await self._sessions.look(session_id)
        looks = looks_of(operations)
        look = await self._look([*looks.nodes], [*looks.children])
        evaluation = evaluate(operations, look.stats, look.children(looks.children))
        conditions = look.conditions(operations, evaluation)
        if session_id is not None and at is not None:
            conditions[self._subjects.session(session_id)] = at
        now = int(self._clock.utc() * 1_000_000)
        messages, places = self._messages(evaluation, look, session_id, now)
        if len(conditions) + len(messages) > MOST_MESSAGES:
            words = (
                f"it takes more than {MOST_MESSAGES} messages in one unit, and NATS permits no more"
            )
            raise InvalidRequestError(words)
        if not conditions and not messages:
            return [None for _ in evaluation.told]
        try:
            unit, last = await self._committing.commit(conditions, messages)
        except OvertakenError:
            return None
        made = {path: unit.sequence(last, place) for path, place in places.items()}
        return self._told(evaluation, look, made, last, session_id, now)

    async def _look(self, nodes: Sequence[str], parents: Sequence[str]) -> Look:
        filters = [self._subjects.node(path) for path in nodes]
        for path in parents:
            filters += self._subjects.children(path)
        records = await self._reading.many(filters) if filters else []
        owners = {one.owner for one in records if one.is_node and one.owner is not None}
        ended = await self._reading.ended_or_not(owners)
        alive = {owner: one.sequence for owner, one in ended.items() if one.sign == "s"}
        look = Look(self._subjects, records, alive)
        self._sessions.sweep(look.dead, ended)
        return look

    def _messages(
        self, evaluation: Evaluation, look: Look, session_id: str | None, now: int
    ) -> tuple[list[Message], dict[str, int]]:
        messages: list[Message] = []
        places: dict[str, int] = {}
        for path, write in evaluation.writes.items():
            places[path] = len(messages)
            if write.kind == "delete":
                messages += endings(look.nodes[path], self._subjects)
            else:
                messages.append(self._message(write, look, session_id, now))
        return messages, places

    def _message(self, write: Write, look: Look, session_id: str | None, now: int) -> Message:
        subject = self._subjects.node(write.path)
        record = look.by_subject.get(subject)
        if write.kind == "update":
            was = look.nodes[write.path]
            headers = node_header(now, was.created, was.created_revision, was.owner, was.lives)
        else:
            owner = session_id if write.ephemeral else None
            headers = node_header(now, owner=owner, lives=after(record, 0))
        if self._subjects.is_long(subject):
            headers += path_header(write.path)
        return Message(subject, headers, write.value, 0 if record is None else record.sequence)

    def _told(
        self,
        evaluation: Evaluation,
        look: Look,
        made: dict[str, int],
        last: int,
        session_id: str | None,
        now: int,
    ) -> list[NodeStat | None]:
        found: dict[str, NodeStat] = {}
        for path, write in evaluation.writes.items():
            subject, sequence = self._subjects.node(path), made[path]
            if write.kind == "delete":
                self._memory.forget(path)
                gone = look.nodes[path]
                self._sessions.note(Record(subject, sequence, "d", path, owner=gone.owner))
                continue
            record = Record(
                subject,
                sequence,
                "n",
                path,
                b"",
                now,
                now,
                sequence,
                None,
                after(look.by_subject.get(subject), 0),
            )
            if write.kind == "update":
                was = look.nodes[path]
                record.created, record.created_revision = was.created, was.created_revision
                record.owner, record.lives = was.owner, was.lives
            elif write.ephemeral:
                record.owner = session_id
            self._memory.learn(record)
            if record.owner is not None:
                self._sessions.note(record)
            found[path] = record.stat
        return [
            None if path is None else self._stat_of(path, found, last, now)
            for path in evaluation.told
        ]

    def _stat_of(self, path: str, found: dict[str, NodeStat], last: int, now: int) -> NodeStat:
        if path in found:
            return found[path]
        # It was made and taken away in one unit: nobody else ever sees it.
        return Record(self._subjects.node(path), last, "n", path, b"", now, now, last).stat
