"""A database refuses the writes of whoever held a lock, or led, before the one that wrote last."""

import random
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends import open_coordination
from asyncbackends.clock import ManualClock
from asyncbackends.errors import LeadershipLostError, SessionLostError, StaleFenceError
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.coordination import DistributedCoordinationService
from asyncbackends.recipes import Election, Lock, update_with
from asyncbackends.testing.config_database.every_write import (
    FENCED_WRITES,
    Write,
    prepared_place,
    state_of,
)
from asyncbackends.testing.config_database.sample import Site
from asyncbackends.testing.harness import AsyncioHarness
from asyncbackends_memory import coordination_faults
from tests.conformance.fenced_databases import (
    FENCED,
    database,
    database_settings,
    mysql,
    postgres,
    site,
)

__all__ = ("database", "database_settings", "mysql", "postgres", "site")

NETWORK = "virtual_network"
PATH = "/sites/1"

pytestmark = [
    pytest.mark.promise("lock.stale-fence-is-refused"),
    pytest.mark.parametrize("engine", FENCED),
]


@pytest.fixture
def stored(engine: str) -> str:
    return engine


class Service:
    """A coordination service that forgets sessions on demand, as after a long pause of a client."""

    def __init__(self) -> None:
        self.name = f"fenced-{uuid4()}"
        self.faults = coordination_faults(self.name)
        self.clock = self.faults.clock = ManualClock()

    def client(self) -> Any:
        return open_coordination(engine="memory", endpoints=self.name)

    def forget(self, client: DistributedCoordinationService) -> None:
        self.faults.expire_session(client.session.id)


@pytest.mark.parametrize("write", FENCED_WRITES, ids=lambda write: write.name)
async def test_write_under_a_lock_that_another_has_by_now_is_refused(
    database: ConfigDatabase, site: Site, write: Write
) -> None:
    service = Service()
    place = await prepared_place(site)
    async with service.client() as one, service.client() as two:
        before = await state_of(database, place)
        with pytest.raises(SessionLostError):
            async with Lock(one, PATH) as held:
                await database.object_update(NETWORK, place.network, {"mtu": 1}, fence=held.fence)
                service.forget(one)
                async with Lock(two, PATH) as after:
                    await database.object_update(
                        NETWORK, place.network, {"mtu": 2}, fence=after.fence
                    )
                before = await state_of(database, place)
                # By its own clock this one still holds the lock.
                assert held.remaining() > 0
                with pytest.raises(StaleFenceError) as refusal:
                    await write.perform(database, place, held.fence)
                assert refusal.value.name == held.fence.name
                assert refusal.value.fence == held.fence.order
                assert refusal.value.highest == after.fence.order
                assert await state_of(database, place) == before
                await service.clock.advance(10)
        async with Lock(one, PATH) as again:
            await write.perform(database, place, again.fence)
            assert await state_of(database, place) != before


async def test_write_in_a_term_that_is_over_is_refused(
    database: ConfigDatabase, site: Site
) -> None:
    service = Service()
    uuid = await site.network()
    async with service.client() as one, service.client() as two:
        with pytest.raises(LeadershipLostError):
            async with Election(one, PATH, "one").lead() as term:
                service.forget(one)
                async with Election(two, PATH, "two").lead() as after:
                    await database.object_update(NETWORK, uuid, {"mtu": 2}, fence=after.fence)
                with pytest.raises(StaleFenceError):
                    async with database.batch(fence=term.fence) as batch:
                        batch.object_update(NETWORK, uuid, {"mtu": 1})
                with pytest.raises(StaleFenceError):
                    await update_with(
                        database, NETWORK, uuid, lambda _: {"mtu": 1}, fence=term.fence
                    )
                await service.clock.advance(10)
    assert (await database.object_get(NETWORK, uuid))["mtu"] == 2


async def test_locks_do_not_fence_one_another(database: ConfigDatabase, site: Site) -> None:
    service = Service()
    uuid = await site.network()
    async with (
        service.client() as client,
        Lock(client, "/first") as first,
        Lock(client, "/second") as second,
    ):
        assert first.fence.token < second.fence.token
        await database.object_update(NETWORK, uuid, {"mtu": 1}, fence=second.fence)
        await database.object_update(NETWORK, uuid, {"mtu": 2}, fence=first.fence)


async def test_fence_epoch_outdoes_a_service_that_was_wiped(
    database: ConfigDatabase, site: Site
) -> None:
    uuid = await site.network()
    async with Service().client() as client:
        old = await Lock(client, PATH).acquire()
        await old.release()
        old = await Lock(client, PATH).acquire()
        await database.object_update(NETWORK, uuid, {"mtu": 1}, fence=old.fence)
    wiped = Service()
    async with wiped.client() as client, Lock(client, PATH) as held:
        assert held.fence.token < old.fence.token
        with pytest.raises(StaleFenceError):
            await database.object_update(NETWORK, uuid, {"mtu": 2}, fence=held.fence)
    raised = open_coordination(engine="memory", endpoints=wiped.name, fence_epoch=1)
    async with raised as client, Lock(client, PATH) as held:
        await database.object_update(NETWORK, uuid, {"mtu": 2}, fence=held.fence)


async def test_writes_of_holders_never_interleave_backwards(
    database: ConfigDatabase, site: Site
) -> None:
    """Clients that are forgotten at random go on writing: tokens in the database only rise."""
    service = Service()
    uuid = await site.network(weight=0)
    chance = random.Random(7)
    applied: list[tuple[int, int]] = []
    refused = 0

    async def work() -> None:
        nonlocal refused
        async with service.client() as client:
            for _ in range(6):
                try:
                    async with Lock(client, PATH) as held:
                        if chance.random() < 0.4:
                            service.forget(client)
                        for _ in range(4):
                            await harness.sleep(chance.random() * 0.01)
                            update = {"weight": held.fence.token}
                            result = await database.object_update(
                                NETWORK, uuid, update, fence=held.fence
                            )
                            applied.append((result.revision, held.fence.token))
                            # By writes, not by the time they take: a slow server's holders
                            # would all be told that they lost it before they write again.
                            await service.clock.advance(0.5)
                except SessionLostError:
                    continue
                except StaleFenceError:
                    refused += 1

    harness = AsyncioHarness()
    await harness.gather(*(work() for _ in range(4)))
    tokens = [token for _, token in sorted(applied)]
    assert tokens == sorted(tokens)
    # A later one may have lost its lock while its write was on its way.
    assert (await database.object_get(NETWORK, uuid))["weight"] >= tokens[-1]
    assert refused > 0
