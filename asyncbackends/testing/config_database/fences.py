"""Fences: a write of somebody who lost a lock or a term is refused."""

import pytest

from asyncbackends.errors import (
    NotSupportedError,
    ObjectNotFoundError,
    StaleFenceError,
    TransactionFailedError,
)
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.values import Fence
from asyncbackends.testing.config_database.every_write import (
    FENCED_WRITES,
    Write,
    prepared_place,
    state_of,
)
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.sample import Site, new_id
from asyncbackends.testing.config_database.watching import distinct_changes
from asyncbackends.testing.harness import Harness

__all__ = ("FencesConformance",)

NETWORK = "virtual_network"


def _fence(epoch: int, token: int, name: str = "asyncbackends:/term") -> Fence:
    return Fence(name, epoch, token)


async def _refuses_fences(database: ConfigDatabase, site: Site) -> bool:
    """Say whether fences are not supported at all; then nobody is left to believe in one."""
    fencing = {Guarantee.FENCED_WRITES, Guarantee.FENCED_PER_OBJECT}
    if fencing & database.guarantees:
        return False
    uuid = await site.network()
    with pytest.raises(NotSupportedError):
        await database.object_update(NETWORK, uuid, {"mtu": 1}, fence=_fence(1, 1))
    return True


class FencesConformance(DatabaseFixtures):
    """The ``fence`` of every write that takes one."""

    @pytest.mark.parametrize("write", FENCED_WRITES, ids=lambda write: write.name)
    async def test_stale_fence_is_refused(
        self, database: ConfigDatabase, site: Site, write: Write, harness: Harness
    ) -> None:
        if await _refuses_fences(database, site):
            return
        place = await prepared_place(site)
        # On the object itself, so that it counts with FENCED_PER_OBJECT, too.
        for uuid in (place.network, place.peer):
            await database.object_update(NETWORK, uuid, {"mtu": 1}, fence=_fence(2, 5))
        await database.kv_put("table", place.key, {"a": 1}, fence=_fence(2, 5))
        everywhere = Guarantee.FENCED_WRITES in database.guarantees
        if write.name.startswith("object_create") and not everywhere:
            # An object that is not there yet has seen no fence.
            await write.perform(database, place, _fence(2, 4))
            return
        before = await state_of(database, place)
        for stale in (_fence(2, 4), _fence(1, 9)):
            with pytest.raises(StaleFenceError) as refusal:
                await write.perform(database, place, stale)
            assert refusal.value.name == stale.name
            assert refusal.value.fence == stale.order
            assert refusal.value.highest == (2, 5)
            assert not refusal.value.maybe_applied
            assert await state_of(database, place) == before

    @pytest.mark.parametrize("write", FENCED_WRITES, ids=lambda write: write.name)
    async def test_equal_or_higher_fence_passes(
        self, database: ConfigDatabase, site: Site, write: Write
    ) -> None:
        if await _refuses_fences(database, site):
            return
        for passing in (_fence(2, 5), _fence(2, 5), _fence(2, 6), _fence(3, 1)):
            place = await prepared_place(site)
            before = await state_of(database, place)
            await write.perform(database, place, passing)
            assert await state_of(database, place) != before

    async def test_fence_is_checked_before_all_else(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        if await _refuses_fences(database, site):
            return
        uuid = await site.network()
        await database.object_update(NETWORK, uuid, {}, fence=_fence(1, 5))
        with pytest.raises(StaleFenceError):
            await database.object_update(
                NETWORK, uuid, {}, expected_revision=1_000_000, fence=_fence(1, 4)
            )
        with pytest.raises(StaleFenceError):
            async with database.batch(fence=_fence(1, 4)) as batch:
                batch.object_update(NETWORK, uuid, {}, expected_revision=1_000_000)

    async def test_highest_fence_is_per_name(self, database: ConfigDatabase, site: Site) -> None:
        if await _refuses_fences(database, site):
            return
        uuid = await site.network()
        await database.object_update(NETWORK, uuid, {}, fence=_fence(9, 9))
        await database.object_update(NETWORK, uuid, {"mtu": 1}, fence=_fence(0, 1, "other"))
        await database.object_update(NETWORK, uuid, {"mtu": 2})
        with pytest.raises(StaleFenceError):
            await database.object_update(NETWORK, uuid, {"mtu": 3}, fence=_fence(9, 8))
        assert (await database.object_get(NETWORK, uuid))["mtu"] == 2

    async def test_refused_write_does_not_raise_the_fence(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        if await _refuses_fences(database, site):
            return
        uuid = await site.network()
        await database.object_update(NETWORK, uuid, {}, fence=_fence(1, 1))
        with pytest.raises(ObjectNotFoundError):
            await database.object_update(NETWORK, new_id(), {}, fence=_fence(1, 9))
        with pytest.raises(TransactionFailedError):
            async with database.batch(fence=_fence(1, 9)) as batch:
                batch.object_update(NETWORK, uuid, {"mtu": 5})
                batch.create_ref(NETWORK, uuid, "tag", new_id())
        await database.object_update(NETWORK, uuid, {"mtu": 1}, fence=_fence(1, 1))
        assert (await database.object_get(NETWORK, uuid))["mtu"] == 1

    async def test_fence_counts_for_the_whole_database(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site
    ) -> None:
        if await _refuses_fences(database, site):
            return
        blue, red = await site.network("blue"), await site.network("red")
        await database.object_update(NETWORK, blue, {}, fence=_fence(1, 5))
        with pytest.raises(StaleFenceError):
            await other.object_update(NETWORK, blue, {"mtu": 1}, fence=_fence(1, 4))
        if Guarantee.FENCED_WRITES in database.guarantees:
            with pytest.raises(StaleFenceError):
                await other.object_update(NETWORK, red, {"mtu": 1}, fence=_fence(1, 4))
            with pytest.raises(StaleFenceError):
                await other.kv_put("t", "k", {"a": 1}, fence=_fence(1, 4))
        else:
            await other.object_update(NETWORK, red, {"mtu": 1}, fence=_fence(1, 4))

    async def test_racing_writers_leave_the_highest_fence(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        if await _refuses_fences(database, site):
            return
        uuid = await site.network(mtu=0)
        async with database.watch() as feed:
            outcomes = await harness.outcomes(
                *(
                    client.object_update(NETWORK, uuid, {"mtu": token}, fence=_fence(1, token))
                    for token, client in zip(range(1, 13), [database, other] * 6, strict=True)
                )
            )
            applied = [token for token, (result, _) in enumerate(outcomes, 1) if result is not None]
            assert {type(error) for _, error in outcomes if error} <= {StaleFenceError}
            assert 12 in applied
            changes = await distinct_changes(database, harness, feed, len(applied))
        by_revision = {
            result.revision: token
            for token, (result, _) in enumerate(outcomes, 1)
            if result is not None
        }
        # Whatever order they came in, tokens only rise.
        tokens = [by_revision[change.revision] for change in changes]
        assert tokens == sorted(tokens)
        assert (await database.object_get(NETWORK, uuid))["mtu"] == 12
