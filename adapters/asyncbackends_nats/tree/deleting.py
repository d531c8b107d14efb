"""Takes a node away with all below it."""

from collections.abc import Sequence

from asyncbackends.coordination import refusals
from asyncbackends.coordination.paths import is_below
from asyncbackends.coordination.transaction import Delete
from asyncbackends.coordination.wire import RefusedError
from asyncbackends_nats.tree.committing import Committing, OvertakenError, pause
from asyncbackends_nats.tree.endings import ending
from asyncbackends_nats.tree.looking import Look, highest
from asyncbackends_nats.tree.memory import Memory
from asyncbackends_nats.tree.reading import Reading
from asyncbackends_nats.tree.records import Record
from asyncbackends_nats.tree.sessions import Sessions
from asyncbackends_nats.tree.subjects import Subjects
from asyncbackends_nats.tree.units import MOST_MESSAGES

__all__ = ("Deleting",)


class Deleting:
    """Recursive deletes of one client: one unit where it is large enough, else from the leaves on."""

    def __init__(
        self,
        committing: Committing,
        reading: Reading,
        sessions: Sessions,
        subjects: Subjects,
        memory: Memory,
    ) -> None:
        self._committing = committing
        self._reading = reading
        self._sessions = sessions
        self._subjects = subjects
        self._memory = memory

    async def delete(self, operation: Delete) -> None:
        """Take a node and all below it away.

        :raises RefusedError: there is none, or it has another version.
        """
        tries = 0
        while not await self._try(operation, begun=tries > 0):
            tries += 1
            await pause(tries)

    async def _try(self, operation: Delete, *, begun: bool) -> bool:
        path = operation.path
        filters = [self._subjects.node(path), *self._subjects.below(path)]
        look = await self._look(path, filters)
        top = look.nodes.get(path)
        if top is None:
            raise RefusedError(0, refusals.no_node(path))
        expected = operation.expected_version
        if expected not in {None, top.sequence}:
            error = refusals.other_version(path, expected or 0, top.sequence)
            raise RefusedError(0, error)
        doomed = sorted(look.nodes.values(), key=lambda one: one.path.count("/"), reverse=True)
        conditions = {one: highest(look.records, one) for one in filters[1:]}
        room = MOST_MESSAGES - len(conditions)
        while len(doomed) > room:
            # Too many for one unit: leaves first, so that every node keeps those above it.
            part, doomed = doomed[:room], doomed[room:]
            if not await self._commit({}, part):
                return False
            if len(doomed) <= room:
                return False  # what is left is counted anew
        return await self._commit(conditions, doomed)

    async def _look(self, path: str, filters: Sequence[str]) -> Look:
        records = await self._reading.many(filters)
        inside = [one for one in records if one.path == path or is_below(one.path, path)]
        owners = {one.owner for one in inside if one.is_node and one.owner is not None}
        ended = await self._reading.ended_or_not(owners)
        alive = {owner: one.sequence for owner, one in ended.items() if one.sign == "s"}
        look = Look(self._subjects, records, alive)
        look.nodes = {
            one: record for one, record in look.nodes.items() if one == path or is_below(one, path)
        }
        self._sessions.sweep((one for one in look.dead if is_below(one.path, path)), ended)
        return look

    async def _commit(self, conditions: dict[str, int], doomed: Sequence[Record]) -> bool:
        messages = [ending(one, self._subjects) for one in doomed]
        try:
            await self._committing.commit(conditions, messages)
        except OvertakenError:
            return False
        finally:
            for one in doomed:
                self._memory.forget(one.path)
        for one in doomed:
            gone = Record(one.subject, one.sequence, "d", one.path, owner=one.owner)
            self._sessions.note(gone)
        return True
