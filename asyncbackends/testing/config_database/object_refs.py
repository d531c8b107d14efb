"""Refs as part of a written object: how they are given, resolved, refused, and read on both ends."""

from typing import Any

import pytest

from asyncbackends.errors import DanglingRefError, InvalidRequestError
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import ALL_FIELDS, Json
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.sample import Site, new_id, numbered_id, refs, uuids_of

__all__ = ("RefsConformance",)


class RefsConformance(DatabaseFixtures):
    """``<type>_refs`` in ``object_create`` and ``object_update``."""

    async def test_ref_by_uuid_by_name_and_by_both(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        ids = [await site.policy(f"policy-{number}", numbered_id(number)) for number in range(1, 4)]
        names = [[*site.path, f"policy-{number}"] for number in range(1, 4)]
        given: list[Json] = [
            {"uuid": ids[0], "attr": 1},
            {"to": names[1], "attr": {"x": None}},
            {"to": names[2], "uuid": ids[2]},
        ]
        uuid = await site.network(network_policy_refs=given)
        read = await database.object_get("virtual_network", uuid)
        assert read["network_policy_refs"] == [
            {"to": names[0], "uuid": ids[0], "attr": 1},
            {"to": names[1], "uuid": ids[1], "attr": {"x": None}},
            {"to": names[2], "uuid": ids[2], "attr": None},
        ]
        for policy, ref in zip(ids, read["network_policy_refs"], strict=True):
            back = await database.object_get("network_policy", policy, ALL_FIELDS)
            assert back["virtual_network_back_refs"] == [
                {"to": [*site.path, "blue"], "uuid": uuid, "attr": ref["attr"]}
            ]

    async def test_uuid_and_name_must_agree(self, database: ConfigDatabase, site: Site) -> None:
        policy, other = await site.policy("a"), await site.policy("b")
        disagreeing: list[Json] = [{"uuid": policy, "to": [*site.path, "b"]}]
        with pytest.raises(InvalidRequestError):
            await site.network(network_policy_refs=disagreeing)
        network = await site.network(network_policy_refs=refs(other))
        with pytest.raises(InvalidRequestError):
            update = {"network_policy_refs": disagreeing}
            await database.object_update("virtual_network", network, update)

    @pytest.mark.parametrize("form", ["uuid", "to", "both"])
    async def test_target_named_twice_is_refused(self, site: Site, form: str) -> None:
        policy = await site.policy("a")
        by_uuid: Json = {"uuid": policy}
        by_name: Json = {"to": [*site.path, "a"]}
        twice = {
            "uuid": [by_uuid, by_uuid],
            "to": [by_name, by_name],
            "both": [by_uuid, by_name],
        }
        with pytest.raises(InvalidRequestError):
            await site.network(network_policy_refs=twice[form])

    async def test_missing_target_is_refused(self, database: ConfigDatabase, site: Site) -> None:
        network, tag = await site.network("there", mtu=1), await site.tag()
        absent: list[Json] = [
            {"uuid": new_id()},
            {"uuid": tag},
            {"to": [*site.path, "nobody"]},
        ]
        for ref in absent:
            with pytest.raises(DanglingRefError):
                await site.network("refused", network_policy_refs=[ref])
            with pytest.raises(DanglingRefError):
                update = {"mtu": 2, "network_policy_refs": [ref]}
                await database.object_update("virtual_network", network, update)
        assert (await database.object_get("virtual_network", network))["mtu"] == 1

    async def test_attr_where_refs_carry_none_is_refused(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        tag = await site.tag()
        with pytest.raises(InvalidRequestError):
            await site.network(tag_refs=refs(tag, attr={"x": 1}))
        network = await site.network(tag_refs=[{"uuid": tag, "attr": None}])
        (ref,) = (await database.object_get("virtual_network", network))["tag_refs"]
        assert ref == {"to": ["web"], "uuid": tag, "attr": None}

    async def test_update_replaces_refs_of_one_type(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        first, second, third = [await site.policy(name) for name in ("a", "b", "c")]
        tag = await site.tag()
        network = await site.network(
            tag_refs=refs(tag), network_policy_refs=refs(first, second, attr=1)
        )
        update: dict[str, Json] = {
            "network_policy_refs": [*refs(second, attr=2), *refs(third, attr=3)]
        }
        await database.object_update("virtual_network", network, update)
        read = await database.object_get("virtual_network", network)
        attrs = {ref["uuid"]: ref["attr"] for ref in read["network_policy_refs"]}
        assert attrs == {second: 2, third: 3}
        assert uuids_of(read["tag_refs"]) == [tag]
        gone = await database.object_get("network_policy", first, ALL_FIELDS)
        assert "virtual_network_back_refs" not in gone
        stays = await database.object_get("network_policy", second, ALL_FIELDS)
        assert stays["virtual_network_back_refs"][0]["attr"] == 2

    @pytest.mark.parametrize("nothing", [None, []])
    async def test_update_removes_refs(
        self, database: ConfigDatabase, site: Site, nothing: Any
    ) -> None:
        policy, tag = await site.policy(), await site.tag()
        network = await site.network(network_policy_refs=refs(policy), tag_refs=refs(tag))
        await database.object_update("virtual_network", network, {"network_policy_refs": nothing})
        read = await database.object_get("virtual_network", network)
        assert "network_policy_refs" not in read
        assert uuids_of(read["tag_refs"]) == [tag]
        await database.object_delete("network_policy", policy)

    async def test_update_finds_targets_by_name(self, database: ConfigDatabase, site: Site) -> None:
        policy, network = await site.policy("a"), await site.network()
        update = {"network_policy_refs": [{"to": [*site.path, "a"], "attr": "x"}]}
        await database.object_update("virtual_network", network, update)
        read = await database.object_get("virtual_network", network)
        assert uuids_of(read["network_policy_refs"]) == [policy]

    async def test_same_type_ref_is_on_both_sides(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        blue, green = await site.network("blue"), await site.network("green")
        before = await database.object_get("virtual_network", blue)
        red = new_id()
        result = await database.object_create(
            "virtual_network",
            red,
            {**site.below("red"), "virtual_network_refs": refs(blue, green, attr={"k": 1})},
        )
        assert result.peers == tuple(sorted([blue, green]))
        read = await database.object_get("virtual_network", blue, ALL_FIELDS)
        assert read["virtual_network_refs"] == [
            {"to": [*site.path, "red"], "uuid": red, "attr": {"k": 1}}
        ]
        assert read.revision > before.revision
        assert read.last_modified >= before.last_modified
        assert read.created == before.created

    async def test_same_type_ref_is_changed_and_removed_on_both_sides(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        blue = await site.network("blue")
        red = await site.network("red", virtual_network_refs=refs(blue, attr=1))
        start = await database.object_get("virtual_network", red)
        update: dict[str, Json] = {"virtual_network_refs": refs(red, attr=2)}
        changed = await database.object_update("virtual_network", blue, update)
        assert changed.peers == (red,)
        peer = await database.object_get("virtual_network", red)
        assert peer["virtual_network_refs"][0]["attr"] == 2
        assert peer.revision > start.revision
        update = {"virtual_network_refs": []}
        removed = await database.object_update("virtual_network", blue, update)
        assert removed.peers == (red,)
        assert "virtual_network_refs" not in await database.object_get("virtual_network", red)

    async def test_update_of_something_else_has_no_peers(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        blue = await site.network("blue")
        red = await site.network("red", virtual_network_refs=refs(blue))
        before = await database.object_get("virtual_network", blue)
        result = await database.object_update("virtual_network", red, {"mtu": 1})
        assert result.peers == ()
        assert (await database.object_get("virtual_network", blue)).revision == before.revision

    async def test_ref_to_itself_is_stored_once(self, database: ConfigDatabase, site: Site) -> None:
        uuid = new_id()
        content = {**site.below("blue"), "virtual_network_refs": refs(uuid, attr=1)}
        result = await database.object_create("virtual_network", uuid, content)
        assert result.peers == ()
        read = await database.object_get("virtual_network", uuid, ALL_FIELDS)
        assert read["virtual_network_refs"] == [
            {"to": [*site.path, "blue"], "uuid": uuid, "attr": 1}
        ]
        update: dict[str, Json] = {"virtual_network_refs": refs(uuid, attr=2)}
        result = await database.object_update("virtual_network", uuid, update)
        assert result.peers == ()
        assert await database.object_delete("virtual_network", uuid)

    async def test_same_type_refs_are_no_back_refs(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        blue = await site.network("blue")
        await site.network("red", virtual_network_refs=refs(blue))
        read = await database.object_get("virtual_network", blue, ALL_FIELDS)
        assert "virtual_network_back_refs" not in read
        with pytest.raises(InvalidRequestError):
            await database.object_get("virtual_network", blue, ["virtual_network_back_refs"])

    async def test_derived_refs_are_refs(self, database: ConfigDatabase, site: Site) -> None:
        tag = await site.tag()
        policy = await site.policy(tag_refs=refs(tag, attr={"why": "derived"}))
        read = await database.object_get("tag", tag, ALL_FIELDS)
        assert uuids_of(read["network_policy_back_refs"]) == [policy]
