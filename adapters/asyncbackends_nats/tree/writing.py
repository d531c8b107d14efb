"""Applies operations: reads, evaluates, and has stored what comes of it if nothing has changed."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from asyncbackends.clock import Clock
from asyncbackends.coordination.evaluating import Evaluation, Write, evaluate, looks_of
from asyncbackends.coordination.paths import ROOT, ancestors
from asyncbackends.coordination.transaction import Create, Delete, Guard, NodeOperation
from asyncbackends.coordination.wire import RefusedError
from asyncbackends.errors import InvalidRequestError
from asyncbackends.protocols.nodes import NodeStat
from asyncbackends_nats.tree.committing import Committing, OvertakenError, pause
from asyncbackends_nats.tree.deleting import Deleting
from asyncbackends_nats.tree.endings import ending
from asyncbackends_nats.tree.guessing import Guessing
from asyncbackends_nats.tree.looking import Look
from asyncbackends_nats.tree.memory import Memory
from asyncbackends_nats.tree.reading import Reading
from asyncbackends_nats.tree.records import Record, after, node_header
from asyncbackends_nats.tree.sessions import Sessions
from asyncbackends_nats.tree.singles import Singles, first_name
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
        self._singles = Singles(committing, reading, subjects)
        self._guessing = Guessing(
            committing, reading, self._singles, sessions, subjects, memory, clock
        )
        self._turns: dict[str, asyncio.Event] = {}
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
            if tries:
                await pause(tries)
            if isinstance(first, Create) and first.make_parents:
                await self._make_far_parents(first.path)
            stats = await self._try(operations, session_id)
            tries += 1
        return stats

    async def arrive(self, entry: Create, session_id: str) -> NodeStat:
        """Make a contender's entry, whose name nobody else has."""
        stat = await self._guessing.arrive(entry, session_id)
        if stat is None:
            (stat,) = await self.apply([entry], session_id)
            assert stat is not None  # noqa: S101  # it is of a create
        return stat

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
        try:
            evaluation = evaluate(operations, look.stats, look.children(looks.children))
        except RefusedError as refused:
            if await self._stands(operations[refused.index], look):
                raise
            return None
        conditions = look.conditions(operations, evaluation)
        for record in look.nodes.values():
            self._memory.learn(record)
        now = int(self._clock.utc() * 1_000_000)
        if len(operations) == len(evaluation.writes) == 1 and len(conditions) <= 1:
            (write,) = evaluation.writes.values()
            if write.kind == "create" and not look.sequence(write.path):
                return await self._create(write, now, session_id, conditions)
            if operations[0] == Delete(write.path) and look.nodes[write.path].owner is None:
                return await self._delete(look.nodes[write.path], conditions)
        if session_id is not None and at is not None:
            conditions[self._subjects.session(session_id)] = at
        messages, places = self._messages(evaluation, look, session_id, now)
        if len(conditions) + len(messages) > MOST_MESSAGES:
            words = f"it takes more than {MOST_MESSAGES} messages at once, and NATS takes no more"
            raise InvalidRequestError(words)
        if not conditions and not messages:
            return [None for _ in evaluation.told]
        try:
            async with self._turn(operations, evaluation):
                unit, last = await self._committing.commit(conditions, messages)
        except OvertakenError as overtaken:
            if overtaken.by_name:
                for write in evaluation.writes.values():
                    if write.kind == "create" and not look.sequence(write.path):
                        await self._singles.free(self._subjects.node(write.path), write.path)
            return None
        made = {path: unit.sequence(last, place) for path, place in places.items()}
        return self._told(evaluation, look, made, last, session_id, now)

    async def _stands(self, operation: NodeOperation, look: Look) -> bool:
        """Say whether what is to go is surely not there.

        With replicas one that leads no more may not have heard of it; and whoever is told that its
        entry is gone never asks again.
        """
        if self._reading.is_direct or not isinstance(operation, (Guard, Delete)):
            return True
        path = operation.ticket.path if isinstance(operation, Guard) else operation.path
        if path == ROOT or path in look.nodes:
            return True
        return await self._committing.holds(self._subjects.node(path), look.sequence(path))

    @asynccontextmanager
    async def _turn(
        self, operations: Sequence[NodeOperation], evaluation: Evaluation
    ) -> AsyncGenerator[None]:
        """Let one at a time make parents that are missing: all others would be overtaken by it."""
        top = next(iter(evaluation.writes), "")
        if len(evaluation.writes) == 1 or not isinstance(operations[0], Create):
            yield
            return
        if top in self._turns:
            await self._turns[top].wait()
            raise OvertakenError
        turn = self._turns[top] = asyncio.Event()
        try:
            yield
        finally:
            del self._turns[top]
            turn.set()

    async def _create(
        self, write: Write, now: int, session_id: str | None, conditions: Mapping[str, int]
    ) -> list[NodeStat | None] | None:
        owner = session_id if write.ephemeral else None
        record = await self._singles.create(write.path, write.value, now, owner, conditions)
        if record is None:
            return None
        self._memory.learn(record)
        if owner is not None:
            self._sessions.note(record)
        return [record.stat]

    async def _delete(
        self, record: Record, conditions: Mapping[str, int]
    ) -> list[NodeStat | None] | None:
        sequence = await self._singles.delete(record, conditions)
        self._memory.forget(record.path)
        return None if sequence is None else [None]

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
                messages.append(ending(look.nodes[path], self._subjects))
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
        if record is None:
            return Message(subject, headers, write.value, 0, first_name(subject))
        return Message(subject, headers, write.value, record.sequence)

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
