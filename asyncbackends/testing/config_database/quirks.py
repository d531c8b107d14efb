"""What OpenContrail's database layer did, and no database of ours does.

The legacy facade brings some of it back above the Protocol; here each has one test that it is gone.
"""

from typing import Any

import pytest

from asyncbackends.errors import (
    DanglingRefError,
    FqNameNotFoundError,
    FqNameTakenError,
    HasChildrenError,
    InvalidRequestError,
    NotFoundError,
    ObjectNotFoundError,
    StillReferencedError,
    UseragentKeyNotFoundError,
)
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import ALL_FIELDS, CollectionUpdate, Json, WriteResult
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.sample import Site, new_id, numbered_id, refs, uuids_of

__all__ = ("QuirksConformance",)

NETWORK, POLICY = "virtual_network", "network_policy"


class QuirksConformance(DatabaseFixtures):
    """Each observed quirk of the old code, absent."""

    @pytest.mark.parametrize("anchor", ["parent_uuids", "back_ref_uuids", "obj_uuids"])
    async def test_quirk_empty_list_lists_all(
        self, database: ConfigDatabase, site: Site, anchor: str
    ) -> None:
        await site.network()
        restriction: Any = {anchor: []}
        ask: Any = database.object_list
        assert (await ask(NETWORK, **restriction)).items == []

    async def test_quirk_get_shared_gives_none(self, database: ConfigDatabase) -> None:
        assert await database.get_shared(NETWORK) == []

    async def test_quirk_one_missing_raises_and_several_do_not(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        there = await site.network()
        for asked in ([new_id()], [new_id(), new_id()], [there, new_id()]):
            with pytest.raises(ObjectNotFoundError):
                await database.object_read(NETWORK, asked)

    async def test_quirk_read_gives_duplicates_once(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network()
        assert len(await database.object_read(NETWORK, [uuid, uuid])) == 2

    async def test_quirk_read_order_is_no_promise(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        ids = [await site.network(f"n{number}") for number in range(12)]
        read = await database.object_read(NETWORK, ids)
        assert [one["uuid"] for one in read] == ids

    async def test_quirk_silent_key_delete(self, database: ConfigDatabase) -> None:
        with pytest.raises(UseragentKeyNotFoundError):
            await database.useragent_kv_delete("absent")

    async def test_quirk_empty_key_retrieves_all(self, database: ConfigDatabase) -> None:
        await database.useragent_kv_store("a", "1")
        assert await database.useragent_kv_retrieve([]) == {}
        with pytest.raises((UseragentKeyNotFoundError, InvalidRequestError)):
            await database.useragent_kv_retrieve("")

    async def test_quirk_list_of_keys_gives_bare_values(self, database: ConfigDatabase) -> None:
        await database.useragent_kv_store("a", "1")
        assert await database.useragent_kv_retrieve(["a", "b"]) == {"a": "1"}

    async def test_quirk_unknown_filters_are_ignored(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        await site.network(mtu=1)
        unknown: list[dict[str, list[Json]]] = [
            {"colour": ["red"]},
            {"mtu": [1], "colour": ["red"]},
        ]
        for filters in unknown:
            with pytest.raises(InvalidRequestError):
                await database.object_list(NETWORK, filters=filters)

    async def test_quirk_filter_values_are_json_text(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        await site.network(settings={"a": 1, "b": 2})
        page = await database.object_list(NETWORK, filters={"settings": [{"a": 1}]})
        assert len(page) == 1
        assert not (await database.object_list(NETWORK, filters={"settings": ['{"a": 1}']})).items

    async def test_quirk_anchored_list_ends_with_an_empty_page(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        for number in range(4):
            await site.network(f"n{number}")
        first = await database.object_list(NETWORK, parent_uuids=[site.project], limit=2)
        last = await database.object_list(
            NETWORK, parent_uuids=[site.project], limit=2, marker=first.marker
        )
        assert (len(last), last.marker) == (2, None)

    async def test_quirk_filtered_pages_are_empty(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        for number in range(10):
            await site.network(str(number), numbered_id(number), weight=number)
        page = await database.object_list(NETWORK, filters={"weight": [9]}, limit=2)
        assert (len(page), page.marker) == (1, None)

    async def test_quirk_unknown_marker_is_the_end(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        ids = [
            await site.network(str(number), numbered_id(number), weight=number)
            for number in range(3)
        ]
        first = await database.object_list(NETWORK, obj_uuids=ids, limit=1)
        await database.object_delete(NETWORK, ids[0])
        rest = await database.object_list(NETWORK, obj_uuids=ids, marker=first.marker)
        assert [uuid for _, uuid in rest] == ids[1:]

    async def test_quirk_lists_are_ordered_as_text(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        values = [f"v{number}" for number in range(25)]
        uuid = await site.network(routes=values, alarm_rules={"or_list": values})
        read = await database.object_get(NETWORK, uuid)
        assert read["routes"] == values
        assert read["alarm_rules"] == {"or_list": values}

    async def test_quirk_colon_in_a_list_position_breaks_reading(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(routes=["a"])
        step = CollectionUpdate("routes", "add", "b", "rule:1:2")
        await database.prop_collection_update(NETWORK, uuid, [step])
        assert (await database.object_get(NETWORK, uuid))["routes"] == ["a", "b"]

    async def test_quirk_falsy_position_reads_all(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(routes=["a", "b"])
        read = await database.prop_collection_read(NETWORK, uuid, ["routes"], "")
        assert read == {"routes": []}

    async def test_quirk_collection_read_adds_id_perms(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(id_perms={"enable": True}, routes=["a"])
        read = await database.prop_collection_read(NETWORK, uuid, ["routes"])
        assert read == {"routes": [("a", "0")]}

    async def test_quirk_other_fields_of_a_collection_read_are_skipped(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(mtu=1)
        with pytest.raises(InvalidRequestError):
            await database.prop_collection_read(NETWORK, uuid, ["routes", "mtu"])

    async def test_quirk_unknown_collection_operation_is_ignored(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(routes=["a"])
        step: Any = CollectionUpdate("routes", "replace", "b", "0")  # type: ignore[arg-type]  # a wrong one
        with pytest.raises(InvalidRequestError):
            await database.prop_collection_update(NETWORK, uuid, [step])

    async def test_quirk_duplicate_map_keys_last_wins(self, site: Site) -> None:
        with pytest.raises(InvalidRequestError):
            await site.network(tenants=[{"name": "t", "n": 1}, {"name": "t", "n": 2}])

    async def test_quirk_name_of_a_prefix_clashes(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        longer = await site.make("tag", new_id(), fq_name=["d2", "zz"])
        with pytest.raises(FqNameNotFoundError):
            await database.fq_name_to_uuid("tag", ["d2"])
        prefix = await site.make("tag", new_id(), fq_name=["d2"])
        assert await database.fq_name_to_uuid("tag", ["d2"]) == prefix
        assert await database.fq_name_to_uuid("tag", ["d2", "zz"]) == longer

    async def test_quirk_names_with_colons_are_the_same_name(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        one = await site.make("tag", new_id(), fq_name=["a:b"])
        two = await site.make("tag", new_id(), fq_name=["a", "b"])
        assert await database.fq_name_to_uuid("tag", ["a:b"]) == one
        assert await database.fq_name_to_uuid("tag", ["a", "b"]) == two

    async def test_quirk_duplicate_name_is_accepted(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        await site.network("blue")
        with pytest.raises(FqNameTakenError):
            await site.network("blue")

    async def test_quirk_delete_as_another_type_leaves_the_name(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network("blue")
        with pytest.raises(ObjectNotFoundError):
            await database.object_delete(POLICY, uuid)
        await database.object_delete(NETWORK, uuid)
        with pytest.raises(FqNameNotFoundError):
            await database.fq_name_to_uuid(NETWORK, [*site.path, "blue"])

    async def test_quirk_delete_leaves_shares(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network()
        await database.set_shared(NETWORK, uuid)
        await database.object_delete(NETWORK, uuid)
        assert await database.get_shared(NETWORK) == []

    async def test_quirk_delete_checks_nothing(self, database: ConfigDatabase, site: Site) -> None:
        policy = await site.policy()
        await site.network(network_policy_refs=refs(policy))
        with pytest.raises(HasChildrenError):
            await database.object_delete("project", site.project)
        with pytest.raises(StillReferencedError):
            await database.object_delete(POLICY, policy)

    async def test_quirk_update_writes_an_explicit_null(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network()
        await database.object_update(NETWORK, uuid, {"mtu": None, "weight": None, "routes": None})
        assert {"mtu", "weight", "routes"} & set(await database.object_get(NETWORK, uuid)) == set()

    async def test_quirk_update_of_an_unknown_object_succeeds(
        self, database: ConfigDatabase
    ) -> None:
        with pytest.raises(ObjectNotFoundError):
            await database.object_update(NETWORK, new_id(), {"mtu": 1})

    async def test_quirk_unknown_fields_are_ignored(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network()
        with pytest.raises(InvalidRequestError):
            await database.object_update(NETWORK, uuid, {"colour": "red"})
        with pytest.raises(InvalidRequestError):
            await database.object_get(NETWORK, uuid, ["colour"])
        with pytest.raises(InvalidRequestError):
            await site.network("red", colour="red")

    async def test_quirk_empty_field_names_read_all(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(mtu=1)
        assert "mtu" not in await database.object_get(NETWORK, uuid, [])

    async def test_quirk_callers_dict_is_changed(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        content: dict[str, Json] = {**site.below("blue"), "id_perms": {"enable": True}}
        before = {**content, "id_perms": {"enable": True}}
        await database.object_create(NETWORK, uuid := new_id(), content)
        assert content == before
        # And nothing is put into what is stored, either.
        assert (await database.object_get(NETWORK, uuid))["id_perms"] == {"enable": True}

    async def test_quirk_uuid_of_a_ref_is_not_checked(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        with pytest.raises(DanglingRefError):
            await site.network(network_policy_refs=refs(new_id()))
        uuid = await site.network()
        with pytest.raises(DanglingRefError):
            await database.create_ref(NETWORK, uuid, POLICY, new_id())

    async def test_quirk_uuid_of_a_ref_is_ignored_beside_to(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        await site.policy("a")
        other = await site.policy("b")
        with pytest.raises(InvalidRequestError):
            await site.network(network_policy_refs=[{"to": [*site.path, "a"], "uuid": other}])

    async def test_quirk_gone_target_is_called_error(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        policy = await site.policy()
        uuid = await site.network(network_policy_refs=refs(policy))
        await database.ref_relax_for_delete(uuid, policy)
        await database.object_delete(POLICY, policy)
        assert "network_policy_refs" not in await database.object_get(NETWORK, uuid, ALL_FIELDS)

    async def test_quirk_unknown_ref_operation_is_silent(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid, policy = await site.network(), await site.policy()
        operation: Any = "add"
        with pytest.raises(InvalidRequestError):
            await database.ref_update(NETWORK, uuid, POLICY, policy, None, operation)

    async def test_quirk_relaxing_what_is_not_there_is_silent(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid, policy = await site.network(), await site.policy()
        with pytest.raises(NotFoundError):
            await database.ref_relax_for_delete(uuid, policy)

    async def test_quirk_config_root_is_a_missing_parent(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.make("tag", new_id(), fq_name=["t"], parent_type="config_root")
        assert "parent_type" not in await database.object_get("tag", uuid)

    async def test_quirk_count_of_children_takes_the_plural(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        with pytest.raises(InvalidRequestError):
            await database.object_count_children("project", site.project, "virtual_networks")
        with pytest.raises(ObjectNotFoundError):
            await database.object_count_children("project", new_id(), NETWORK)

    async def test_quirk_results_are_tuples_or_lists(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        result = await database.object_create(NETWORK, uuid := new_id(), site.below("blue"))
        assert isinstance(result, WriteResult)
        assert isinstance(await database.object_update(NETWORK, uuid, {}), WriteResult)
        assert isinstance(await database.object_delete(NETWORK, uuid), WriteResult)

    async def test_quirk_raw_read_omits_objects_without_the_properties(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network()
        assert await database.object_raw_read(NETWORK, [uuid], ["mtu"]) == [{"uuid": uuid}]

    async def test_quirk_children_are_ordered_by_creation(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        for number in (3, 1, 2):
            await site.network(f"n{number}", numbered_id(number))
        read = await database.object_get("project", site.project, ["virtual_networks"])
        assert uuids_of(read["virtual_networks"]) == sorted(uuids_of(read["virtual_networks"]))

    async def test_quirk_dash_names_are_another_error(self, database: ConfigDatabase) -> None:
        with pytest.raises(InvalidRequestError, match="virtual_network"):
            await database.fq_name_to_uuid("virtual-network", ["a"])
