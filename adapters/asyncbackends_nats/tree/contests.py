"""Who contends on a path: read from the oldest entry on that may still be there."""

from typing import Final

from asyncbackends.coordination.contending import is_entry_name
from asyncbackends.coordination.paths import name, parent
from asyncbackends.coordination.transaction import Create
from asyncbackends.errors import BackendError
from asyncbackends.protocols.nodes import NodeStat
from asyncbackends_nats.driver_errors import JetStreamError
from asyncbackends_nats.tree.memory import Memory
from asyncbackends_nats.tree.reading import Reading
from asyncbackends_nats.tree.records import SESSION, Record
from asyncbackends_nats.tree.sessions import Sessions
from asyncbackends_nats.tree.subjects import Subjects
from asyncbackends_nats.tree.writing import Writing

__all__ = ("Contests",)

GLANCES: Final = (4, 64)
"""Messages that are looked at to see whether nobody came before; the second time there are ends."""
MOST: Final = 1_000_000


class Contests:
    """Entries of contenders, over one connection.

    Locks make entries fast, and each leaves its end behind for a moment. What is older than the
    oldest entry that was there has gone, and new ones are newer: nobody has to look at it again.
    """

    def __init__(
        self,
        reading: Reading,
        writing: Writing,
        sessions: Sessions,
        subjects: Subjects,
        memory: Memory,
    ) -> None:
        self._reading = reading
        self._writing = writing
        self._sessions = sessions
        self._subjects = subjects
        self._memory = memory

    async def entries(self, path: str) -> list[NodeStat]:
        """Give the entries of a path."""
        records = await self._from_first(path, MOST)
        nodes = [
            one
            for one in records
            if one.is_node and one.owner is not None and is_entry_name(name(one.path))
        ]
        owners = {one.owner for one in nodes if one.owner is not None}
        ended = await self._reading.ended_or_not(owners)
        alive = {owner for owner, one in ended.items() if one.sign == SESSION}
        there = [one for one in nodes if one.owner in alive]
        self._sessions.sweep((one for one in nodes if one.owner not in alive), ended)
        oldest = min((one.sequence for one in there), default=0)
        if oldest:
            self._memory.learn_first(path, oldest)
        return [one.stat for one in there]

    async def _from_first(self, path: str, most: int) -> list[Record]:
        filters = self._subjects.children(path)
        if len(filters) > 1 or not self._reading.is_direct:
            return await self._reading.many(filters)
        first = self._memory.first_entries.get(path, 1)
        return await self._reading.later(filters[0], first, most)

    async def arrive(self, entry: Create, session_id: str) -> tuple[NodeStat, bool]:
        """Make an entry; say whether it is surely the first of those that are there."""
        stat = await self._writing.arrive(entry, session_id)
        try:
            is_first = await self._is_first(stat, session_id)
        except (BackendError, JetStreamError):
            # It was made; who was before it is asked again.
            return stat, False
        if is_first:
            self._memory.learn_first(parent(stat.path), stat.created_revision)
        return stat, is_first

    async def _is_first(self, stat: NodeStat, session_id: str) -> bool:
        for most in GLANCES:
            records = await self._from_first(parent(stat.path), most)
            entries = [one for one in records if one.is_node and is_entry_name(name(one.path))]
            if any(one.created_revision < stat.created_revision for one in entries):
                return False
            if not self._reading.is_direct or len(records) < most:
                break
        else:
            # There is more. One that came before is among it, where it was changed since.
            return False
        if not any(one.path == stat.path for one in entries):
            return False
        # Its session lives, and so did it when it was made.
        return bool(await self._reading.sessions([session_id]))
