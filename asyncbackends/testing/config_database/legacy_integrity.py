"""``integrity = legacy``: what the old database layer permitted is permitted."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from asyncbackends.errors import (
    ConflictError,
    DanglingRefError,
    InvalidRequestError,
    ObjectExistsError,
    ObjectNotFoundError,
)
from asyncbackends.protocols.values import ALL_FIELDS
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures, OpenDatabase
from asyncbackends.testing.config_database.sample import Site, new_id, refs, uuids_of

__all__ = ("LegacyIntegrityConformance",)

NETWORK, POLICY = "virtual_network", "network_policy"


class LegacyIntegrityConformance(DatabaseFixtures):
    """The option ``integrity``."""

    @pytest_asyncio.fixture
    async def legacy(self, open_database: OpenDatabase) -> AsyncGenerator[Site]:
        """Give a site in a database that is open with the legacy rules."""
        async with open_database(integrity="legacy") as database:
            yield await Site(database).prepare()

    async def test_legacy_parent_type_may_be_missing(self, legacy: Site) -> None:
        database = legacy.database
        network, port = new_id(), new_id()
        await database.object_create(NETWORK, network, {"fq_name": ["n"]})
        await database.object_create("virtual_port", port, {"fq_name": ["a", "p"]})
        assert await database.object_get(NETWORK, network) == {"uuid": network, "fq_name": ["n"]}
        assert "parent_type" not in await database.object_get("virtual_port", port)

    async def test_legacy_wrong_parents_are_refused(self, legacy: Site) -> None:
        with pytest.raises(InvalidRequestError):
            await legacy.make(NETWORK, new_id(), fq_name=["d", "n"], parent_type="domain")
        with pytest.raises(DanglingRefError):
            await legacy.make(NETWORK, new_id(), fq_name=["a", "b", "n"], parent_type="project")

    async def test_legacy_names_may_repeat(self, legacy: Site) -> None:
        database = legacy.database
        ids = sorted([await legacy.network("blue") for _ in range(3)])
        page = await database.object_list(NETWORK)
        assert page.items == [([*legacy.path, "blue"], uuid) for uuid in ids]
        with pytest.raises(ConflictError):
            await database.fq_name_to_uuid(NETWORK, [*legacy.path, "blue"])
        for uuid in ids[1:]:
            await database.object_delete(NETWORK, uuid)
        assert await database.fq_name_to_uuid(NETWORK, [*legacy.path, "blue"]) == ids[0]

    async def test_legacy_refs_may_dangle(self, legacy: Site) -> None:
        database, target = legacy.database, new_id()
        network = await legacy.network(network_policy_refs=refs(target, attr=1))
        read = await database.object_get(NETWORK, network)
        assert read["network_policy_refs"] == [{"uuid": target, "attr": 1}]
        await legacy.policy("late", target)
        read = await database.object_get(NETWORK, network)
        assert read["network_policy_refs"] == [
            {"to": [*legacy.path, "late"], "uuid": target, "attr": 1}
        ]
        policy = await database.object_get(POLICY, target, ALL_FIELDS)
        assert uuids_of(policy["virtual_network_back_refs"]) == [network]

    async def test_legacy_ref_update_may_dangle(self, legacy: Site) -> None:
        database, target = legacy.database, new_id()
        network = await legacy.network()
        await database.create_ref(NETWORK, network, POLICY, target)
        assert uuids_of((await database.object_get(NETWORK, network))["network_policy_refs"]) == [
            target
        ]
        await database.delete_ref(NETWORK, network, POLICY, target)
        assert "network_policy_refs" not in await database.object_get(NETWORK, network)

    async def test_legacy_target_by_name_must_be_there(self, legacy: Site) -> None:
        absent = [{"to": [*legacy.path, "nobody"]}]
        with pytest.raises(DanglingRefError):
            await legacy.network(network_policy_refs=absent)
        network = await legacy.network()
        with pytest.raises(DanglingRefError):
            await legacy.database.object_update(NETWORK, network, {"network_policy_refs": absent})

    async def test_legacy_delete_asks_nobody(self, legacy: Site) -> None:
        database = legacy.database
        policy, network = await legacy.policy(), await legacy.network(parent_type="project")
        holder = await legacy.network("holder", network_policy_refs=refs(policy))
        relaxed = await legacy.network("relaxed", network_policy_refs=refs(policy))
        await database.ref_relax_for_delete(relaxed, policy)
        await database.object_delete("project", legacy.project)
        result = await database.object_delete(POLICY, policy)
        assert result.peers == (relaxed,)
        orphan = await database.object_get(NETWORK, network)
        assert orphan["parent_uuid"] == legacy.project
        read = await database.object_get(NETWORK, holder)
        assert read["network_policy_refs"] == [{"uuid": policy, "attr": None}]
        assert "network_policy_refs" not in await database.object_get(NETWORK, relaxed)

    async def test_legacy_create_over_an_object_updates_it(self, legacy: Site) -> None:
        database = legacy.database
        uuid = await legacy.network(mtu=1, label="kept", routes=["kept"])
        before = await database.object_get(NETWORK, uuid)
        content = {**legacy.below("blue"), "mtu": 2, "tenants": [{"name": "t"}]}
        result = await database.object_create(NETWORK, uuid, content)
        read = await database.object_get(NETWORK, uuid)
        assert (read["mtu"], read["label"], read["routes"]) == (2, "kept", ["kept"])
        assert read["tenants"] == [{"name": "t"}]
        assert read.revision == result.revision > before.revision
        assert read.created == before.created
        again = await database.object_create(NETWORK, uuid, dict(read))
        assert again.revision == read.revision

    async def test_legacy_create_over_another_object_is_refused(self, legacy: Site) -> None:
        uuid = await legacy.network()
        with pytest.raises(ObjectExistsError):
            await legacy.network("red", uuid)
        with pytest.raises(ObjectExistsError):
            await legacy.policy("blue", uuid)

    async def test_legacy_still_misses_what_is_missing(self, legacy: Site) -> None:
        database, network = legacy.database, await legacy.network()
        for call in (
            database.object_update(NETWORK, new_id(), {}),
            database.object_delete(NETWORK, new_id()),
            database.object_delete(POLICY, network),
            database.object_get(NETWORK, new_id()),
        ):
            with pytest.raises(ObjectNotFoundError):
                await call
        assert (await database.object_get(NETWORK, network))["uuid"] == network

    async def test_legacy_fields_are_still_checked(self, legacy: Site) -> None:
        with pytest.raises(InvalidRequestError):
            await legacy.network(colour="red")
        with pytest.raises(InvalidRequestError):
            await legacy.make(NETWORK, new_id(), fq_name=[])
