"""A history of writes to a database whose server dies now and then, and what it must have led to."""

import asyncio
import random
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from asyncbackends import Change, CollectionUpdate, ConfigDatabase
from asyncbackends.errors import (
    ConnectionLostError,
    DanglingRefError,
    OperationTimeoutError,
    RevisionConflictError,
    WriteContentionError,
)
from tests.faults.database_trials import Trial
from tests.faults.server_trials import Ending

__all__ = ("History", "Step", "follow")

SHARED = 4
OUTAGE = (ConnectionLostError, OperationTimeoutError)
REFUSALS = (DanglingRefError, RevisionConflictError, WriteContentionError)


@dataclass
class Step:
    """One write and what its writer was told: applied at a revision, refused, or in doubt."""

    kind: str
    uuid: str
    value: str
    told: str
    revision: int = 0


class History:
    """Writers with values that nobody else writes."""

    def __init__(self, trial: Trial, seed: int) -> None:
        self.steps: list[Step] = []
        self.pairs: list[tuple[str, str]] = []
        self.over = False
        self._trial = trial
        self._dice = random.Random(seed)
        self._shared = [str(uuid4()) for _ in range(SHARED)]

    def count(self, told: str) -> int:
        """Count the writes that ended so."""
        return sum(step.told == told for step in self.steps)

    async def prepare(self, db: ConfigDatabase) -> None:
        """Make what the writers share."""
        for uuid in self._shared:
            await self._create(db, uuid)

    async def write(self, db: ConfigDatabase) -> None:
        """Write until it is over."""
        own = str(uuid4())
        await self._create(db, own)
        calls = [self._create, self._append, self._append, self._pair, self._dangling, self._stale]
        while not self.over:
            if self._dice.random() < 0.2:
                await self._overwrite(db, own)
            else:
                await self._dice.choice(calls)(db)

    def _note(self, kind: str, uuid: str, value: str, ending: Ending) -> None:
        error = ending.error
        if error is None:
            self.steps.append(Step(kind, uuid, value, "applied", ending.value.revision))
            return
        assert isinstance(error, (*OUTAGE, *REFUSALS)), repr(error)
        told = "in doubt" if error.maybe_applied else "refused"
        self.steps.append(Step(kind, uuid, value, told))

    async def _create(self, db: ConfigDatabase, uuid: str | None = None) -> None:
        uuid = uuid or str(uuid4())
        ending = await self._trial.ending(
            db.object_create("network", uuid, {"fq_name": [uuid], "text": uuid})
        )
        self._note("create", uuid, uuid, ending)

    async def _append(self, db: ConfigDatabase) -> None:
        uuid, value = self._dice.choice(self._shared), str(uuid4())
        change = CollectionUpdate("servers", "add", value)
        ending = await self._trial.ending(db.prop_collection_update("network", uuid, [change]))
        self._note("append", uuid, value, ending)

    async def _overwrite(self, db: ConfigDatabase, own: str) -> None:
        """Write what only this writer writes: the last one applied stays."""
        value = str(uuid4())
        ending = await self._trial.ending(db.object_update("network", own, {"text": value}))
        if type(ending.error).__name__ != "ObjectNotFoundError":
            self._note("overwrite", own, value, ending)

    async def _pair(self, db: ConfigDatabase) -> None:
        one, other = str(uuid4()), str(uuid4())

        async def both() -> list[Any]:
            async with db.batch() as batch:
                queued = [
                    batch.object_create("network", uuid, {"fq_name": [uuid], "text": uuid})
                    for uuid in (one, other)
                ]
            return [one.result for one in queued]

        ending = await self._trial.ending(both())
        self.pairs.append((one, other))
        for at, uuid in enumerate((one, other)):
            value = None if ending.error else ending.value[at]
            self._note("create", uuid, uuid, Ending(ending.seconds, value, ending.error))

    async def _dangling(self, db: ConfigDatabase) -> None:
        """Write what is refused."""
        uuid = str(uuid4())
        body = {"fq_name": [uuid], "network_refs": [{"uuid": str(uuid4())}]}
        ending = await self._trial.ending(db.object_create("network", uuid, body))
        assert ending.error is not None
        # Whether it was in doubt or not: it cannot have been applied.
        self.steps.append(Step("create", uuid, uuid, "refused"))

    async def _stale(self, db: ConfigDatabase) -> None:
        uuid, value = self._dice.choice(self._shared), str(uuid4())
        change = CollectionUpdate("servers", "add", value)
        ending = await self._trial.ending(
            db.prop_collection_update("network", uuid, [change], expected_revision=10**9)
        )
        assert ending.error is not None
        self.steps.append(Step("append", uuid, value, "refused"))

    # What it must have led to.

    async def verify(self, db: ConfigDatabase, seen: list[Change]) -> None:
        """See that the database and the watch agree with what every writer was told."""
        revision = await db.current_revision()
        missed = {*range(1, revision + 1)} - {change.revision for change in seen}
        assert not missed, f"{len(missed)} changes were missed"
        assert [change.revision for change in seen] == [*range(1, revision + 1)]
        told = [step.revision for step in self.steps if step.told == "applied"]
        assert len({*told}) == len(told), "a revision was given twice"
        made = {change.uuid: change.revision for change in seen if change.op == "create"}
        there: dict[str, dict[str, Any]] = {}
        async for one in db.object_iter("network", field_names=["servers", "text"], page=500):
            there[one["uuid"]] = one
        assert made.keys() == there.keys(), "the watch and the database differ"
        assert [pair for pair in self.pairs if (pair[0] in there) != (pair[1] in there)] == []
        self._verify_creates(made)
        self._verify_appends(seen, {uuid: one.get("servers", []) for uuid, one in there.items()})
        self._verify_overwrites({uuid: one["text"] for uuid, one in there.items()})

    def _verify_creates(self, made: dict[str, int]) -> None:
        for step in self.steps:
            if step.kind == "create" and step.told == "applied":
                assert made.get(step.uuid) == step.revision, f"lost: {step}"
            elif step.kind == "create" and step.told == "refused":
                assert step.uuid not in made, f"refused and visible: {step}"

    def _verify_appends(self, seen: list[Change], lists: dict[str, list[str]]) -> None:
        updates = {(change.revision, change.uuid) for change in seen if change.op == "update"}
        for uuid in self._shared:
            steps = {
                step.value: step
                for step in self.steps
                if (step.kind, step.uuid) == ("append", uuid)
            }
            values = lists[uuid]
            assert len({*values}) == len(values), "a value was appended twice"
            assert {*values} <= steps.keys()
            assert not [one for one in values if steps[one].told == "refused"]
            applied = [step for step in steps.values() if step.told == "applied"]
            assert {step.value for step in applied} <= {*values}, "an acknowledged value is lost"
            untold = {(step.revision, step.uuid) for step in applied} - updates
            assert not untold, f"the watch told something else of {untold}"
            # The list is in the order of the revisions that its writers were told.
            revisions = [steps[one].revision for one in values if steps[one].told == "applied"]
            assert revisions == sorted(revisions), "the order is another one than was told"

    def _verify_overwrites(self, texts: dict[str, str]) -> None:
        last: dict[str, set[str]] = {}
        for step in self.steps:
            if step.kind == "overwrite" and step.told == "applied":
                last[step.uuid] = {step.value}
            elif step.kind == "overwrite" and step.told == "in doubt":
                last.setdefault(step.uuid, {step.uuid}).add(step.value)
        for uuid, values in last.items():
            assert texts[uuid] in values, "an acknowledged overwrite is lost"


async def follow(db: ConfigDatabase, seen: list[Change]) -> None:
    """Watch, and go on after the last one seen whenever the watch ends."""
    while True:
        try:
            async with db.watch(since=seen[-1].revision if seen else 0) as changes:
                async for change in changes:
                    assert isinstance(change, Change), change
                    seen.append(change)
        except OUTAGE:
            await asyncio.sleep(0.05)
