"""A call that is cancelled anywhere has happened as a whole, or not at all."""

from typing import Any

import pytest

from asyncbackends.errors import ObjectNotFoundError
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.testing.config_database.every_write import (
    EVERY_WRITE,
    Write,
    anonymous_state_of,
    prepared_place,
)
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures, OpenDatabase
from asyncbackends.testing.config_database.sample import Site
from asyncbackends.testing.harness import Cancelling, Harness

__all__ = ("CancellationConformance",)

NETWORK = "virtual_network"
MOST_SUSPENSIONS = 200
ROUNDS = 3
"""How often a call that was cancelled late is tried: it depends on who is faster."""


class CancellationConformance(DatabaseFixtures):
    """Cancelling every write, read and wait."""

    @pytest.mark.parametrize("how", ["task", "late", "scope"])
    @pytest.mark.parametrize("write", EVERY_WRITE, ids=lambda write: write.name)
    async def test_cancelled_write_is_whole_or_not_there(
        self,
        database: ConfigDatabase,
        site: Site,
        harness: Harness,
        write: Write,
        how: Cancelling,
    ) -> None:
        example = await prepared_place(site)
        await write.perform(database, example, None)
        expected_after = await anonymous_state_of(database, example)
        for suspension in range(1, MOST_SUSPENSIONS):
            completed = False
            for _ in range(ROUNDS if how == "late" else 1):
                place = await prepared_place(site)
                expected_before = await anonymous_state_of(database, place)
                call = write.perform(database, place, None)
                completed = await harness.cancel_at(_as_coroutine(call), suspension, how)

                async def whole(
                    place: Any = place, before: object = expected_before, done: bool = completed
                ) -> bool:
                    try:
                        found = await anonymous_state_of(database, place)
                    except ObjectNotFoundError:
                        return False  # it went between two reads
                    return found == expected_after or (not done and found == before)

                # What was on its way may still arrive; a half of it stays for ever.
                assert await harness.eventually(whole), (
                    await anonymous_state_of(database, place),
                    expected_before,
                    expected_after,
                )
            if completed:
                assert suspension > 1, f"{write.name} never suspends: it starves the loop"
                return
        pytest.fail(f"{write.name} did not end within {MOST_SUSPENSIONS} suspensions")

    async def test_cancelled_read_leaves_the_database_working(
        self, database: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        ids = [await site.network(f"n{number}", routes=["r"]) for number in range(5)]

        async def read() -> None:
            await database.object_read(NETWORK, ids)
            await database.object_list(NETWORK, parent_uuids=[site.project], limit=2)
            async for _ in database.object_iter(NETWORK, page=2):
                pass

        for suspension in range(1, MOST_SUSPENSIONS):
            completed = await harness.cancel_at(read(), suspension)
            assert len(await database.object_read(NETWORK, ids)) == 5
            if completed:
                return
        pytest.fail("the reads did not end")

    async def test_cancelled_watch_leaves_nothing(
        self, database: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        before = harness.running()

        async def follow() -> None:
            async with database.watch() as feed:
                await anext(feed)

        for suspension in range(1, 10):
            async with harness.background(harness.cancel_at(follow(), suspension)) as following:
                await harness.sleep(0.02)
                await site.network(f"n{suspension}")
                async with harness.deadline(5):
                    await following.result()
        # A call that was in flight is stopped on the server, which takes a moment.
        assert await harness.eventually(lambda: _is(harness.running() == before))

    async def test_cancelled_open_leaves_nothing(
        self, open_database: OpenDatabase, harness: Harness
    ) -> None:
        before = harness.running()

        async def opened() -> None:
            async with open_database() as database:
                await database.object_list("tag", count=True)

        for suspension in range(1, MOST_SUSPENSIONS):
            completed = await harness.cancel_at(opened(), suspension)
            assert await harness.eventually(lambda: _is(harness.running() == before))
            if completed:
                break
        async with open_database() as database:
            assert await database.object_list("tag", count=True) == 0

    async def test_many_cancelled_writers_lose_nothing(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        uuid = await site.network(mtu=0, weight=0)

        async def write(number: int) -> None:
            client = other if number % 2 else database
            update = {"mtu": number, "weight": number, "settings": {"n": number}}
            await client.object_update(NETWORK, uuid, update)

        for first in range(0, 200, 20):
            calls = (
                harness.cancel_at(write(number), 1 + number % 3, "late" if number % 5 else "task")
                for number in range(first, first + 20)
            )
            await harness.gather(*calls)
            read = await database.object_get(NETWORK, uuid)
            if "settings" in read:
                assert read["mtu"] == read["weight"] == read["settings"]["n"]
        result = await database.object_update(NETWORK, uuid, {"mtu": -1})
        assert (await database.object_get(NETWORK, uuid)).revision >= result.revision


async def _as_coroutine(call: Any) -> None:
    """Give an awaitable as the coroutine that the harness takes."""
    await call


async def _is(condition: bool) -> bool:
    return condition
