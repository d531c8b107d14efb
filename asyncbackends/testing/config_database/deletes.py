"""Deleting an object: what blocks it, and what goes with it."""

import pytest

from asyncbackends.errors import (
    FqNameNotFoundError,
    HasChildrenError,
    ObjectNotFoundError,
    RevisionConflictError,
    StillReferencedError,
)
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import ALL_FIELDS
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.sample import Site, new_id, refs
from asyncbackends.testing.harness import Harness

__all__ = ("DeletesConformance",)


class DeletesConformance(DatabaseFixtures):
    """``Objects.object_delete``."""

    async def test_deleted_object_is_gone(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network(mtu=1, label="a", routes=["r"])
        before = await database.current_revision()
        result = await database.object_delete("virtual_network", uuid)
        assert result.revision > before
        assert result.peers == ()
        with pytest.raises(ObjectNotFoundError):
            await database.object_get("virtual_network", uuid)
        with pytest.raises(FqNameNotFoundError):
            await database.fq_name_to_uuid("virtual_network", [*site.path, "blue"])
        assert await database.object_list("virtual_network", count=True) == 0
        assert not (await database.object_list("virtual_network", filters={"label": ["a"]})).items
        assert await database.uuids_to_fq_names([uuid]) == {}
        read = await database.object_get("project", site.project, ALL_FIELDS)
        assert "virtual_networks" not in read

    async def test_delete_of_nothing(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network()
        await database.object_delete("virtual_network", uuid)
        for _ in range(2):
            with pytest.raises(ObjectNotFoundError):
                await database.object_delete("virtual_network", uuid)

    async def test_delete_as_another_type_deletes_nothing(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(mtu=1)
        with pytest.raises(ObjectNotFoundError):
            await database.object_delete("network_policy", uuid)
        assert (await database.object_get("virtual_network", uuid))["mtu"] == 1

    async def test_delete_at_expected_revision(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network()
        revision = (await database.object_get("virtual_network", uuid)).revision
        await database.object_update("virtual_network", uuid, {"mtu": 1})
        with pytest.raises(RevisionConflictError):
            await database.object_delete("virtual_network", uuid, expected_revision=revision)
        revision = (await database.object_get("virtual_network", uuid)).revision
        await database.object_delete("virtual_network", uuid, expected_revision=revision)

    async def test_revision_is_compared_before_children(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        with pytest.raises(RevisionConflictError):
            await database.object_delete("domain", site.domain, expected_revision=1_000_000)

    async def test_object_with_children_stays(self, database: ConfigDatabase, site: Site) -> None:
        network, policy = await site.network(), await site.policy()
        with pytest.raises(HasChildrenError) as refusal:
            await database.object_delete("project", site.project)
        assert refusal.value.children == tuple(sorted([network, policy]))
        assert (await database.object_get("project", site.project))["uuid"] == site.project
        await database.object_delete("virtual_network", network)
        await database.object_delete("network_policy", policy)
        await database.object_delete("project", site.project)

    async def test_derived_children_block_as_well(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        domain = await site.make("domain", new_id(), fq_name=["d"])
        tag = await site.make("tag", new_id(), fq_name=["d", "t"], parent_type="domain")
        with pytest.raises(HasChildrenError) as refusal:
            await database.object_delete("domain", domain)
        assert refusal.value.children == (tag,)

    async def test_referenced_object_stays(self, database: ConfigDatabase, site: Site) -> None:
        tag = await site.tag()
        holders = [
            await site.network(tag_refs=refs(tag)),
            await site.policy(tag_refs=refs(tag)),
        ]
        with pytest.raises(StillReferencedError) as refusal:
            await database.object_delete("tag", tag)
        assert refusal.value.holders == tuple(sorted(holders))
        read = await database.object_get("tag", tag, ALL_FIELDS)
        assert read["virtual_network_back_refs"][0]["uuid"] == holders[0]
        await database.object_delete("virtual_network", holders[0])
        with pytest.raises(StillReferencedError) as refusal:
            await database.object_delete("tag", tag)
        assert refusal.value.holders == (holders[1],)
        await database.object_update("network_policy", holders[1], {"tag_refs": None})
        await database.object_delete("tag", tag)

    async def test_children_are_found_before_back_refs(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        network = await site.network()
        port = {"parent_type": "virtual_network", "parent_uuid": network}
        child = await site.make(
            "virtual_port", new_id(), fq_name=["p"], **port, virtual_network_refs=refs(network)
        )
        with pytest.raises(HasChildrenError) as refusal:
            await database.object_delete("virtual_network", network)
        assert refusal.value.children == (child,)

    async def test_relaxed_refs_go_with_the_object(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        policy = await site.policy()
        names = ("blue", "red")
        holders = [await site.network(name, network_policy_refs=refs(policy)) for name in names]
        start = [await database.object_get("virtual_network", holder) for holder in holders]
        await database.ref_relax_for_delete(holders[0], policy)
        with pytest.raises(StillReferencedError) as refusal:
            await database.object_delete("network_policy", policy)
        assert refusal.value.holders == (holders[1],)
        await database.ref_relax_for_delete(holders[1], policy)
        result = await database.object_delete("network_policy", policy)
        assert result.peers == tuple(sorted(holders))
        for holder, before in zip(holders, start, strict=True):
            read = await database.object_get("virtual_network", holder)
            assert "network_policy_refs" not in read
            assert read.revision > before.revision

    async def test_same_type_refs_do_not_block(self, database: ConfigDatabase, site: Site) -> None:
        blue = await site.network("blue")
        red = await site.network("red", virtual_network_refs=refs(blue))
        before = await database.object_get("virtual_network", red)
        result = await database.object_delete("virtual_network", blue)
        assert result.peers == (red,)
        read = await database.object_get("virtual_network", red)
        assert "virtual_network_refs" not in read
        assert read.revision > before.revision

    async def test_own_refs_go_with_the_object(self, database: ConfigDatabase, site: Site) -> None:
        policy = await site.policy()
        network = await site.network(network_policy_refs=refs(policy))
        await database.ref_relax_for_delete(network, policy)
        await database.object_delete("virtual_network", network)
        read = await database.object_get("network_policy", policy, ALL_FIELDS)
        assert "virtual_network_back_refs" not in read
        assert await database.get_relaxed_refs(policy) == []
        await database.object_delete("network_policy", policy)

    async def test_shares_go_with_the_object(self, database: ConfigDatabase, site: Site) -> None:
        blue, red = await site.network("blue"), await site.network("red")
        for uuid in (blue, red):
            await database.set_shared("virtual_network", uuid)
            await database.set_shared("virtual_network", uuid, "p1", "tenant", 5)
        await database.object_delete("virtual_network", blue)
        assert await database.get_shared("virtual_network") == [(red, 7)]
        assert await database.get_shared("virtual_network", "p1", "tenant") == [(red, 5)]

    async def test_recreated_object_starts_anew(self, database: ConfigDatabase, site: Site) -> None:
        policy, uuid = await site.policy(), new_id()
        content = {"mtu": 1, "routes": ["r"], "tenants": [{"name": "t"}]}
        await site.network("blue", uuid, network_policy_refs=refs(policy), **content)
        await database.ref_relax_for_delete(uuid, policy)
        await database.set_shared("virtual_network", uuid)
        deleted = await database.object_delete("virtual_network", uuid)
        await site.network("blue", uuid, network_policy_refs=refs(policy))
        read = await database.object_get("virtual_network", uuid, ALL_FIELDS)
        assert {"mtu", "routes", "tenants"} & set(read) == set()
        assert read.revision > deleted.revision
        assert await database.get_shared("virtual_network") == []
        assert await database.get_relaxed_refs(policy) == []
        with pytest.raises(StillReferencedError):
            await database.object_delete("network_policy", policy)

    async def test_name_is_free_again(self, database: ConfigDatabase, site: Site) -> None:
        await database.object_delete("virtual_network", await site.network("blue"))
        uuid = await site.network("blue")
        assert await database.fq_name_to_uuid("virtual_network", [*site.path, "blue"]) == uuid

    async def test_concurrent_deletes_succeed_once(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        for number in range(5):
            uuid = await site.network(f"n{number}")
            outcomes = await harness.outcomes(
                *(client.object_delete("virtual_network", uuid) for client in [database, other] * 3)
            )
            assert sum(result is not None for result, _ in outcomes) == 1
            errors = {type(error) for _, error in outcomes if error is not None}
            assert errors == {ObjectNotFoundError}
