"""The recipe that loses no update."""

import asyncio
from uuid import uuid4

import pytest

from asyncbackends import (
    ConfigDatabase,
    ConfigObject,
    Fence,
    ObjectType,
    Schema,
    open_config_database,
)
from asyncbackends.errors import ObjectNotFoundError, RevisionConflictError, StaleFenceError
from asyncbackends.recipes import update_with

SCHEMA = Schema({"counter": ObjectType()})


async def make_counter(db: ConfigDatabase) -> str:
    uuid = str(uuid4())
    await db.object_create("counter", uuid, {"fq_name": [uuid], "value": 0})
    return uuid


async def test_no_update_is_lost() -> None:
    async with open_config_database(engine="memory", endpoints="u1", schema=SCHEMA) as db:
        uuid = await make_counter(db)

        async def add_ten() -> None:
            for _ in range(10):
                await update_with(db, "counter", uuid, lambda found: {"value": found["value"] + 1})

        await asyncio.gather(*(add_ten() for _ in range(8)))
        assert (await db.object_get("counter", uuid))["value"] == 80


async def test_none_leaves_the_object_alone() -> None:
    async with open_config_database(engine="memory", endpoints="u2", schema=SCHEMA) as db:
        uuid = await make_counter(db)
        before = await db.current_revision()
        assert await update_with(db, "counter", uuid, lambda found: None) is None
        assert await db.current_revision() == before


async def test_gives_up_after_so_many_attempts() -> None:
    async with open_config_database(engine="memory", endpoints="u3", schema=SCHEMA) as db:
        uuid = await make_counter(db)
        calls: list[int] = []
        other: list[asyncio.Task[object]] = []

        def change(found: ConfigObject) -> dict[str, int]:
            calls.append(found.revision)
            # Another writer is always faster: its write is on its way before ours.
            faster = db.object_update("counter", uuid, {"value": found["value"] + 100})
            other.append(asyncio.ensure_future(faster))
            return {"value": -1}

        async def slowed() -> None:
            await update_with(Slow(db), "counter", uuid, change, attempts=3)  # type: ignore[arg-type]  # the part that it uses

        with pytest.raises(RevisionConflictError):
            await slowed()
        await asyncio.gather(*other)
        assert len(calls) == 3
        assert (await db.object_get("counter", uuid))["value"] == 300


class Slow:
    """A database whose updates let others go first."""

    def __init__(self, db: ConfigDatabase) -> None:
        self.object_get = db.object_get
        self._db = db

    async def object_update(self, *arguments: object, **named: object) -> object:
        await asyncio.sleep(0.01)
        return await self._db.object_update(*arguments, **named)  # type: ignore[arg-type]  # passed on


async def test_a_missing_object_and_a_stale_fence_are_said() -> None:
    async with open_config_database(engine="memory", endpoints="u4", schema=SCHEMA) as db:
        with pytest.raises(ObjectNotFoundError):
            await update_with(db, "counter", uuid4(), lambda found: {})
        uuid = await make_counter(db)
        await update_with(db, "counter", uuid, lambda found: {}, fence=Fence("f", 0, 2))
        with pytest.raises(StaleFenceError):
            await update_with(db, "counter", uuid, lambda found: {}, fence=Fence("f", 0, 1))


async def test_at_least_one_attempt() -> None:
    async with open_config_database(engine="memory", endpoints="u5", schema=SCHEMA) as db:
        with pytest.raises(ValueError, match="at least 1"):
            await update_with(db, "counter", uuid4(), lambda found: {}, attempts=0)
