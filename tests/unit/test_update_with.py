"""The recipe update_with: read, change, write; again on conflict."""

import random
from collections.abc import AsyncGenerator, Mapping
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends import Fence, ObjectType, Schema, open_config_database
from asyncbackends.errors import (
    BackendError,
    ObjectNotFoundError,
    RevisionConflictError,
    StaleFenceError,
    WriteContentionError,
)
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import ConfigObject, Json
from asyncbackends.recipes.updating import update_with

pytestmark = pytest.mark.promise("recipes.update-with-loses-no-update", engines=["memory"])


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Take the pauses' length out, and note what they might have been."""
    longest: list[float] = []

    def uniform(low: float, high: float) -> float:
        assert low == 0
        longest.append(high)
        return 0.0

    monkeypatch.setattr(random, "uniform", uniform)
    return longest


@pytest.fixture
async def database() -> AsyncGenerator[ConfigDatabase]:
    schema = Schema({"project": ObjectType()})
    async with open_config_database(
        engine="memory", endpoints=str(uuid4()), schema=schema
    ) as database:
        yield database


@pytest.fixture
async def uuid(database: ConfigDatabase) -> str:
    uuid = str(uuid4())
    await database.object_create("project", uuid, {"fq_name": ["p"], "count": 0})
    return uuid


def increment(read: ConfigObject) -> dict[str, Json]:
    return {"count": read["count"] + 1}


async def test_changes_by_what_is_there(database: ConfigDatabase, uuid: str) -> None:
    for expected in (1, 2, 3):
        result = await update_with(database, "project", uuid, increment)
        read = await database.object_get("project", uuid)
        assert result is not None
        assert (read["count"], read.revision) == (expected, result.revision)


async def test_none_leaves_the_object_alone(database: ConfigDatabase, uuid: str) -> None:
    before = await database.current_revision()
    assert await update_with(database, "project", uuid, lambda _: None) is None
    assert await database.current_revision() == before


async def test_fields_narrow_the_read(database: ConfigDatabase, uuid: str) -> None:
    seen: list[Mapping[str, Any]] = []

    def note(read: ConfigObject) -> dict[str, Json]:
        seen.append(read)
        return {}

    await update_with(database, "project", uuid, note, field_names=["other"])
    assert "count" not in seen[0]


async def test_missing_object_is_not_made(database: ConfigDatabase) -> None:
    with pytest.raises(ObjectNotFoundError):
        await update_with(database, "project", uuid4(), increment)


class Moving:
    """A database whose object somebody else changes between read and write."""

    def __init__(self, database: ConfigDatabase, times: int, error: BackendError) -> None:
        self._database = database
        self._times = times
        self._error = error
        self.reads = 0

    async def object_get(self, *args: Any) -> ConfigObject:
        self.reads += 1
        return await self._database.object_get(*args)

    async def object_update(self, *args: Any, **kwargs: Any) -> Any:
        if self._times:
            self._times -= 1
            raise self._error
        return await self._database.object_update(*args, **kwargs)


CONFLICTS = [
    RevisionConflictError("moved", expected=1, actual=2),
    WriteContentionError("busy"),
]


@pytest.mark.parametrize("error", CONFLICTS, ids=lambda error: type(error).__name__)
async def test_conflict_is_tried_again_with_a_new_read(
    database: ConfigDatabase, uuid: str, error: BackendError, no_pauses: list[float]
) -> None:
    moving: Any = Moving(database, 12, error)
    await update_with(moving, "project", uuid, increment)
    assert (await database.object_get("project", uuid))["count"] == 1
    assert moving.reads == 13
    # The pause doubles, up to a quarter of a second.
    assert no_pauses == [min(0.25, 0.002 * 2**attempt) for attempt in range(1, 13)]


@pytest.mark.parametrize("error", CONFLICTS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("attempts", [1, 3])
async def test_last_conflict_is_raised(
    database: ConfigDatabase, uuid: str, error: BackendError, attempts: int
) -> None:
    moving: Any = Moving(database, 100, error)
    with pytest.raises(type(error)):
        await update_with(moving, "project", uuid, increment, attempts=attempts)
    assert moving.reads == attempts
    assert (await database.object_get("project", uuid))["count"] == 0


async def test_other_errors_are_raised_at_once(database: ConfigDatabase, uuid: str) -> None:
    moving: Any = Moving(database, 1, ObjectNotFoundError("gone"))
    with pytest.raises(ObjectNotFoundError):
        await update_with(moving, "project", uuid, increment)
    with pytest.raises(ZeroDivisionError):
        await update_with(database, "project", uuid, lambda _: {"count": 1 // 0})


async def test_fence_goes_with_the_write(database: ConfigDatabase, uuid: str) -> None:
    await update_with(database, "project", uuid, increment, fence=Fence("term", 1, 5))
    with pytest.raises(StaleFenceError):
        await update_with(database, "project", uuid, increment, fence=Fence("term", 1, 4))
    assert (await database.object_get("project", uuid))["count"] == 1


async def test_no_attempt_is_a_mistake(database: ConfigDatabase, uuid: str) -> None:
    with pytest.raises(ValueError, match="attempts"):
        await update_with(database, "project", uuid, increment, attempts=0)
