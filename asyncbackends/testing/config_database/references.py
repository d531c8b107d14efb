"""Single references: adding, deleting, relaxing."""

from typing import Any

import pytest

from asyncbackends.errors import (
    DanglingRefError,
    InvalidRequestError,
    NotFoundError,
    ObjectNotFoundError,
    RevisionConflictError,
    StillReferencedError,
)
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import ALL_FIELDS, Json, RefOperation
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.sample import Site, new_id, refs, uuids_of

__all__ = ("ReferencesConformance",)

NETWORK, POLICY = "virtual_network", "network_policy"


class ReferencesConformance(DatabaseFixtures):
    """``References``."""

    async def attrs(self, database: ConfigDatabase, network: str) -> dict[str, Json]:
        """Give the policy refs of a network as {uuid: attr}."""
        read = await database.object_get(NETWORK, network)
        return {ref["uuid"]: ref["attr"] for ref in read.get("network_policy_refs", [])}

    async def test_add_and_delete(self, database: ConfigDatabase, site: Site) -> None:
        network, first, second = (
            await site.network(),
            await site.policy("a"),
            await site.policy("b"),
        )
        added = await database.ref_update(
            NETWORK, network, POLICY, first, {"attr": {"seq": 1}}, "ADD"
        )
        await database.ref_update(NETWORK, network, POLICY, second, None, "ADD")
        assert await self.attrs(database, network) == {first: {"seq": 1}, second: None}
        policy = await database.object_get(POLICY, first, ALL_FIELDS)
        assert policy["virtual_network_back_refs"] == [
            {"to": [*site.path, "blue"], "uuid": network, "attr": {"seq": 1}}
        ]
        deleted = await database.ref_update(NETWORK, network, POLICY, first, None, "DELETE")
        assert await self.attrs(database, network) == {second: None}
        assert "virtual_network_back_refs" not in await database.object_get(
            POLICY, first, ALL_FIELDS
        )
        read = await database.object_get(NETWORK, network)
        assert read.revision == deleted.revision > added.revision
        assert read.last_modified == deleted.last_modified
        assert (added.peers, deleted.peers) == ((), ())

    async def test_add_replaces_the_attr(self, database: ConfigDatabase, site: Site) -> None:
        network, policy = await site.network(), await site.policy()
        for attr in ({"a": 1}, None, [1], {"b": 2}):
            result = await database.create_ref(NETWORK, network, POLICY, policy, {"attr": attr})
            assert await self.attrs(database, network) == {policy: attr}
            assert (await database.object_get(NETWORK, network)).revision == result.revision
        back = await database.object_get(POLICY, policy, ALL_FIELDS)
        assert [ref["attr"] for ref in back["virtual_network_back_refs"]] == [{"b": 2}]
        await database.create_ref(NETWORK, network, POLICY, policy)
        assert await self.attrs(database, network) == {policy: None}

    async def test_delete_of_an_absent_ref_changes_nothing(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        network, policy = await site.network(), await site.policy()
        before = await database.object_get(NETWORK, network)
        revision = await database.current_revision()
        for target in (policy, new_id()):
            result = await database.delete_ref(NETWORK, network, POLICY, target)
            assert (result.revision, result.last_modified) == (
                before.revision,
                before.last_modified,
            )
            assert result.peers == ()
        assert await database.current_revision() == revision

    async def test_delete_of_a_ref_of_another_type_changes_nothing(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        policy = await site.policy()
        network = await site.network(network_policy_refs=refs(policy))
        before = await database.object_get(NETWORK, network)
        result = await database.delete_ref(NETWORK, network, "tag", policy)
        assert result.revision == before.revision
        assert await self.attrs(database, network) == {policy: None}

    async def test_short_forms(self, database: ConfigDatabase, site: Site) -> None:
        network, policy = await site.network(), await site.policy()
        created = await database.create_ref(NETWORK, network, POLICY, policy, {"attr": 1})
        assert await self.attrs(database, network) == {policy: 1}
        deleted = await database.delete_ref(NETWORK, network, POLICY, policy)
        assert deleted.revision > created.revision
        assert await self.attrs(database, network) == {}
        await database.create_ref(NETWORK, network, POLICY, policy, relax_for_delete=True)
        assert await database.get_relaxed_refs(policy) == [network]
        for call in (database.create_ref, database.delete_ref):
            with pytest.raises(RevisionConflictError):
                await call(NETWORK, network, POLICY, policy, expected_revision=deleted.revision - 1)

    async def test_missing_ends(self, database: ConfigDatabase, site: Site) -> None:
        network, policy = await site.network(), await site.policy()
        operations: list[RefOperation] = ["ADD", "DELETE"]
        for operation in operations:
            for source in (new_id(), policy):
                with pytest.raises(ObjectNotFoundError):
                    await database.ref_update(NETWORK, source, POLICY, policy, None, operation)
        for target in (new_id(), network, site.project):
            with pytest.raises(DanglingRefError):
                await database.ref_update(NETWORK, network, POLICY, target, None, "ADD")
        assert await self.attrs(database, network) == {}

    @pytest.mark.parametrize(
        ("to_type", "ref_data", "operation"),
        [
            ("virtual_port", None, "ADD"),
            ("nothing", None, "ADD"),
            (POLICY, None, "add"),
            (POLICY, None, "MODIFY"),
            (POLICY, {"attr": 1, "is_weakref": False}, "ADD"),
            (POLICY, {"sequence": 1}, "ADD"),
            (POLICY, [1], "ADD"),
            (POLICY, {"attr": b"x"}, "ADD"),
            ("tag", {"attr": {"x": 1}}, "ADD"),
        ],
    )
    async def test_bad_ref_update_is_refused(
        self, database: ConfigDatabase, site: Site, to_type: str, ref_data: Any, operation: Any
    ) -> None:
        network, policy = await site.network(), await site.policy()
        before = await database.current_revision()
        with pytest.raises(InvalidRequestError):
            await database.ref_update(NETWORK, network, to_type, policy, ref_data, operation)
        assert await database.current_revision() == before

    async def test_ref_at_expected_revision(self, database: ConfigDatabase, site: Site) -> None:
        network, policy = await site.network(), await site.policy()
        revision = (await database.object_get(NETWORK, network)).revision
        result = await database.ref_update(
            NETWORK, network, POLICY, policy, None, "ADD", expected_revision=revision
        )
        operations: list[RefOperation] = ["ADD", "DELETE"]
        for operation in operations:
            with pytest.raises(RevisionConflictError) as refusal:
                await database.ref_update(
                    NETWORK, network, POLICY, policy, None, operation, expected_revision=revision
                )
            assert refusal.value.actual == result.revision
        with pytest.raises(RevisionConflictError):
            await database.ref_update(
                NETWORK, network, POLICY, new_id(), None, "ADD", expected_revision=revision
            )
        await database.ref_update(
            NETWORK, network, POLICY, policy, None, "DELETE", expected_revision=result.revision
        )

    async def test_same_type_refs_change_on_both_sides(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        blue, red = await site.network("blue"), await site.network("red")
        added = await database.create_ref(NETWORK, blue, NETWORK, red, {"attr": 1})
        assert added.peers == (red,)
        for one, peer in ((blue, red), (red, blue)):
            read = await database.object_get(NETWORK, one)
            assert [(ref["uuid"], ref["attr"]) for ref in read["virtual_network_refs"]] == [
                (peer, 1)
            ]
        peer_read = await database.object_get(NETWORK, red)
        assert peer_read.last_modified >= added.last_modified
        changed = await database.create_ref(NETWORK, red, NETWORK, blue, {"attr": 2})
        assert changed.peers == (blue,)
        read = await database.object_get(NETWORK, blue)
        assert read["virtual_network_refs"][0]["attr"] == 2
        assert read.revision > added.revision
        removed = await database.delete_ref(NETWORK, blue, NETWORK, red)
        assert removed.peers == (red,)
        for one in (blue, red):
            assert "virtual_network_refs" not in await database.object_get(NETWORK, one)
        again = await database.delete_ref(NETWORK, red, NETWORK, blue)
        assert again.peers == ()

    async def test_same_type_refs_without_attr(self, database: ConfigDatabase, site: Site) -> None:
        one, two = await site.policy("one"), await site.policy("two")
        await database.create_ref(POLICY, one, POLICY, two)
        read = await database.object_get(POLICY, two)
        assert uuids_of(read["network_policy_refs"]) == [one]
        with pytest.raises(InvalidRequestError):
            await database.create_ref(POLICY, one, POLICY, two, {"attr": 1})

    async def test_relaxing(self, database: ConfigDatabase, site: Site) -> None:
        policy = await site.policy()
        holders = [
            await site.network(name, network_policy_refs=refs(policy)) for name in ("a", "b", "c")
        ]
        assert await database.get_relaxed_refs(policy) == []
        assert await database.get_relaxed_refs(new_id()) == []
        before = await database.current_revision()
        await database.ref_relax_for_delete(holders[2], policy)
        await database.ref_relax_for_delete(holders[0], policy)
        await database.ref_relax_for_delete(holders[0], policy)
        assert await database.get_relaxed_refs(policy) == sorted([holders[0], holders[2]])
        # The mark is about the target: the holder is as it was.
        assert await database.current_revision() == before
        with pytest.raises(StillReferencedError):
            await database.object_delete(POLICY, policy)

    async def test_relaxing_what_is_not_there(self, database: ConfigDatabase, site: Site) -> None:
        network, policy = await site.network(), await site.policy()
        with pytest.raises(ObjectNotFoundError):
            await database.ref_relax_for_delete(new_id(), policy)
        with pytest.raises(NotFoundError):
            await database.ref_relax_for_delete(network, policy)
        with pytest.raises(NotFoundError):
            await database.ref_relax_for_delete(network, new_id())

    async def test_relaxed_mark_stays_with_its_ref(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        policy, other = await site.policy("a"), await site.policy("b")
        network = await site.network()
        await database.create_ref(NETWORK, network, POLICY, policy, relax_for_delete=True)
        await database.create_ref(NETWORK, network, POLICY, policy, {"attr": 1})
        assert await database.get_relaxed_refs(policy) == [network]
        update: dict[str, Json] = {"network_policy_refs": refs(policy, other, attr=2)}
        await database.object_update(NETWORK, network, update)
        assert await database.get_relaxed_refs(policy) == [network]
        assert await database.get_relaxed_refs(other) == []
        await database.delete_ref(NETWORK, network, POLICY, policy)
        assert await database.get_relaxed_refs(policy) == []
        await database.create_ref(NETWORK, network, POLICY, policy)
        assert await database.get_relaxed_refs(policy) == []
        await database.create_ref(NETWORK, network, POLICY, policy, relax_for_delete=True)
        assert await database.get_relaxed_refs(policy) == [network]
        await database.object_update(NETWORK, network, {"network_policy_refs": refs(other)})
        assert await database.get_relaxed_refs(policy) == []
