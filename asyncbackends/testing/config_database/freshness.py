"""Whether a copy is current, and default permissions."""

from datetime import timedelta
from typing import Any

import pytest

from asyncbackends.errors import InvalidRequestError, ObjectNotFoundError
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import Json
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.sample import Site, new_id
from asyncbackends.testing.harness import Harness

__all__ = ("FreshnessConformance",)

NETWORK = "virtual_network"


class FreshnessConformance(DatabaseFixtures):
    """``Freshness``."""

    async def test_revision_is_latest_until_the_next_write(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network()
        read = await database.object_get(NETWORK, uuid)
        assert await database.is_latest(uuid, read.revision) is True
        assert await database.is_latest(uuid, read.revision + 1) is False
        result = await database.object_update(NETWORK, uuid, {"mtu": 1})
        assert await database.is_latest(uuid, read.revision) is False
        assert await database.is_latest(uuid.upper(), result.revision) is True

    async def test_time_is_latest_until_the_next_write(
        self, database: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        uuid = await site.network()
        modified = (await database.object_get(NETWORK, uuid)).last_modified
        text = modified.isoformat()
        naive = modified.replace(tzinfo=None)
        for same in (modified, text, naive, naive.isoformat(), text.replace("+00:00", "Z")):
            assert await database.is_latest(uuid, same) is True
        for different in (
            modified + timedelta(microseconds=1),
            (modified - timedelta(seconds=1)).isoformat(),
        ):
            assert await database.is_latest(uuid, different) is False
        await harness.sleep(0.002)
        await database.object_update(NETWORK, uuid, {"mtu": 1})
        assert await database.is_latest(uuid, text) is False

    async def test_missing_object_is_never_latest(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        for call in (database.is_latest(new_id(), 1), database.update_perms2(new_id())):
            with pytest.raises(ObjectNotFoundError):
                await call

    @pytest.mark.parametrize("wrong", ["yesterday", "", None, True, 1.5])
    async def test_bad_time_is_refused(
        self, database: ConfigDatabase, site: Site, wrong: Any
    ) -> None:
        uuid = await site.network()
        with pytest.raises(InvalidRequestError):
            await database.is_latest(uuid, wrong)

    async def test_default_permissions(self, database: ConfigDatabase, site: Site) -> None:
        perms: dict[str, Json] = {"permissions": {"owner": "cloud-admin", "owner_access": 7}}
        uuid = await site.network(id_perms=perms, mtu=5)
        before = await database.object_get(NETWORK, uuid)
        result = await database.update_perms2(uuid)
        read = await database.object_get(NETWORK, uuid)
        assert read == {
            **before,
            "perms2": {
                "owner": "cloud-admin",
                "owner_access": 7,
                "global_access": 0,
                "share": [],
            },
        }
        assert result is not None
        assert read.revision == result.revision > before.revision

    @pytest.mark.parametrize(
        "id_perms", [None, {}, {"permissions": {}}, {"permissions": None}, "text"], ids=str
    )
    async def test_owner_is_empty_without_one(
        self, database: ConfigDatabase, site: Site, id_perms: Json
    ) -> None:
        uuid = await site.network(id_perms=id_perms)
        await database.update_perms2(uuid)
        assert (await database.object_get(NETWORK, uuid))["perms2"]["owner"] == ""

    async def test_permissions_that_come_at_the_same_time_stay(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        mine: dict[str, Json] = {"perms2": {"owner": "me"}}
        for number in range(10):
            uuid = await site.network(f"n{number}")
            await harness.gather(
                database.update_perms2(uuid), other.object_update(NETWORK, uuid, mine)
            )
            assert (await database.object_get(NETWORK, uuid))["perms2"] == {"owner": "me"}

    async def test_permissions_that_are_there_stay(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(perms2={"owner": "somebody"})
        policy = await site.policy()
        before = await database.current_revision()
        assert await database.update_perms2(uuid) is None
        # A type that does not declare the property.
        assert await database.update_perms2(policy) is None
        assert await database.current_revision() == before
        assert (await database.object_get(NETWORK, uuid))["perms2"] == {"owner": "somebody"}
        assert "perms2" not in await database.object_get("network_policy", policy)
