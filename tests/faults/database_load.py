"""Writers and readers that go on whatever happens, and know what they were told."""

import asyncio
import random
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from asyncbackends import ConfigDatabase
from asyncbackends.errors import BackendError, ConnectionLostError, OperationTimeoutError
from tests.faults.database_trials import Trial
from tests.faults.server_trials import Ending

__all__ = ("Load", "load")

OUTAGE = (ConnectionLostError, OperationTimeoutError)
"""What a call may raise that an outage met."""


class Load:
    """What became of every call.

    A write that was told to be applied is there, at its revision; one that was refused is not; of
    one in doubt (``maybe_applied``) nobody knows.
    """

    def __init__(self, trial: Trial, db: ConfigDatabase) -> None:
        self.reads: list[Ending] = []
        self.writes: list[Ending] = []
        self.acknowledged: dict[str, int] = {}
        self.refused: set[str] = set()
        self.in_doubt: set[str] = set()
        self._trial = trial
        self._db = db
        self._over = False

    @property
    def endings(self) -> list[Ending]:
        """Those of all calls."""
        return [*self.reads, *self.writes]

    @property
    def longest(self) -> float:
        """Seconds of the call that took longest."""
        return max(ending.seconds for ending in self.endings)

    def errors(self, endings: Iterable[Ending]) -> list[BackendError]:
        """Give the errors among some endings."""
        return [ending.error for ending in endings if ending.error is not None]

    async def write(self) -> None:
        """Create objects, one after the other."""
        while not self._over:
            uuid = str(uuid4())
            body = {"fq_name": [uuid], "servers": [uuid], "text": uuid}
            ending = await self._trial.ending(self._db.object_create("network", uuid, body))
            self.writes.append(ending)
            self.note(uuid, ending)

    def note(self, uuid: str, ending: Ending) -> None:
        """Note what the writer of an object was told."""
        if ending.error is None:
            self.acknowledged[uuid] = ending.value.revision
        else:
            assert type(ending.error) in OUTAGE, repr(ending.error)
            (self.in_doubt if ending.error.maybe_applied else self.refused).add(uuid)

    async def read(self) -> None:
        """Read what is known to be there, and see that it is what was asked for."""
        while not self._over:
            if not self.acknowledged:
                await asyncio.sleep(0)
                continue
            uuid = random.choice([*self.acknowledged])
            ending = await self._trial.ending(self._db.object_get("network", uuid))
            self.reads.append(ending)
            if ending.error is None:
                assert is_right(ending.value, uuid), ending.value
            else:
                assert type(ending.error) in OUTAGE, repr(ending.error)
                assert not ending.error.maybe_applied

    async def reach(self, number: int) -> None:
        """Wait until so many writes were acknowledged."""
        while len(self.acknowledged) < number:  # noqa: ASYNC110  # not worth an event
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        """Let nobody begin another call."""
        self._over = True

    async def verify(self, db: ConfigDatabase) -> None:
        """See that the database has what it must have, and nothing that it must not."""
        there = {uuid for _, uuid in await db.object_list("network")}
        assert self.acknowledged.keys() <= there, "an acknowledged write is lost"
        assert not self.refused & there, "a refused write is visible"
        assert there <= self.acknowledged.keys() | self.in_doubt
        for one in await db.object_read("network", sorted(there)):
            uuid = one["uuid"]
            assert is_right(one, uuid), one
            assert one.revision == self.acknowledged.get(uuid, one.revision)


def is_right(one: dict[str, Any], uuid: str) -> bool:
    """Say whether an object is whole, and the one that was asked for."""
    return one == {"uuid": uuid, "fq_name": [uuid], "servers": [uuid], "text": uuid}


@asynccontextmanager
async def load(
    trial: Trial, db: ConfigDatabase, *, writers: int = 6, readers: int = 4
) -> AsyncGenerator[Load]:
    """Write and read for the time of the block; at its end every call has ended."""
    load = Load(trial, db)
    async with asyncio.TaskGroup() as group:
        for _ in range(writers):
            group.create_task(load.write())
        for _ in range(readers):
            group.create_task(load.read())
        try:
            yield load
        finally:
            load.stop()
