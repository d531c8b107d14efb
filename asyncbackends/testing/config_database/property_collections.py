"""List and map properties by element."""

from typing import Any

import pytest

from asyncbackends.errors import (
    InvalidRequestError,
    ObjectNotFoundError,
    RevisionConflictError,
)
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import CollectionUpdate, Json
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.sample import Site, new_id
from asyncbackends.testing.harness import Harness

__all__ = ("CollectionsConformance",)

NETWORK = "virtual_network"


def _add(value: Json, position: str | None = None, field: str = "routes") -> CollectionUpdate:
    return CollectionUpdate(field, "add", value, position)


def _modify(position: str, value: Json, field: str = "routes") -> CollectionUpdate:
    return CollectionUpdate(field, "modify", value, position)


def _delete(position: str, field: str = "routes") -> CollectionUpdate:
    return CollectionUpdate(field, "delete", position=position)


class CollectionsConformance(DatabaseFixtures):
    """``PropertyCollections``."""

    async def positions(self, database: ConfigDatabase, uuid: str) -> list[str]:
        """Give the positions of a network's routes, in order."""
        read = await database.prop_collection_read(NETWORK, uuid, ["routes"])
        return [position for _, position in read["routes"]]

    async def test_read(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network(
            routes=["a", {"b": 1}],
            alarm_rules={"or_list": [1, 2]},
            tenants=[{"name": "z", "v": 1}, {"name": "a:b"}],
        )
        fields = ["routes", "alarm_rules", "tenants", "bindings"]
        assert await database.prop_collection_read(NETWORK, uuid, fields) == {
            "routes": [("a", "0"), ({"b": 1}, "1")],
            "alarm_rules": [(1, "0"), (2, "1")],
            "tenants": [({"name": "a:b"}, "a:b"), ({"name": "z", "v": 1}, "z")],
            "bindings": [],
        }
        assert await database.prop_collection_read(NETWORK, uuid, []) == {}

    async def test_read_of_one_position(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network(routes=["a", "b"], tenants=[{"name": "0"}])
        fields = ["routes", "tenants"]
        assert await database.prop_collection_read(NETWORK, uuid, fields, "0") == {
            "routes": [("a", "0")],
            "tenants": [({"name": "0"}, "0")],
        }
        for absent in ("7", "00", "", "a", "0/0"):
            read = await database.prop_collection_read(NETWORK, uuid, fields, absent)
            assert read == {"routes": [], "tenants": []}

    @pytest.mark.parametrize("field", ["mtu", "fq_name", "tag_refs", "virtual_ports", "nothing"])
    async def test_only_collections_are_read(
        self, database: ConfigDatabase, site: Site, field: str
    ) -> None:
        uuid = await site.network()
        with pytest.raises(InvalidRequestError):
            await database.prop_collection_read(NETWORK, uuid, [field])

    async def test_missing_object(self, database: ConfigDatabase, site: Site) -> None:
        for uuid in (new_id(), await site.policy()):
            with pytest.raises(ObjectNotFoundError):
                await database.prop_collection_read(NETWORK, uuid, ["routes"])
            with pytest.raises(ObjectNotFoundError):
                await database.prop_collection_update(NETWORK, uuid, [_add(1)])

    async def test_add_without_position_appends(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network()
        for number in range(25):
            await database.prop_collection_update(NETWORK, uuid, [_add(number)])
        read = await database.object_get(NETWORK, uuid)
        assert read["routes"] == [*range(25)]
        assert await self.positions(database, uuid) == [str(number) for number in range(25)]

    async def test_positions_are_stable(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network(routes=[*"abcdef"])
        await database.prop_collection_update(NETWORK, uuid, [_delete("1"), _delete("5")])
        assert await self.positions(database, uuid) == ["0", "2", "3", "4"]
        await database.prop_collection_update(NETWORK, uuid, [_modify("3", "D"), _add("g")])
        assert await database.prop_collection_read(NETWORK, uuid, ["routes"]) == {
            "routes": [("a", "0"), ("c", "2"), ("D", "3"), ("e", "4"), ("g", "5")]
        }

    async def test_positions_sort_as_numbers_then_as_text(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network()
        ordered = ["0", "1", "2", "007", "9", "10", "11", "100", "10" * 20, "-1", "1a", "a", "a:b"]
        ordered += ["b", "é", "名"]
        updates = [_add(position, position) for position in reversed(ordered)]
        await database.prop_collection_update(NETWORK, uuid, updates)
        assert await self.positions(database, uuid) == ordered
        assert (await database.object_get(NETWORK, uuid))["routes"] == ordered

    async def test_equal_numbers_are_different_positions(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(routes=["plain"])
        await database.prop_collection_update(NETWORK, uuid, [_add("padded", "00")])
        assert await database.prop_collection_read(NETWORK, uuid, ["routes"]) == {
            "routes": [("plain", "0"), ("padded", "00")]
        }
        await database.prop_collection_update(NETWORK, uuid, [_delete("00")])
        assert await self.positions(database, uuid) == ["0"]

    async def test_append_comes_after_every_position(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(routes=["first"])
        await database.prop_collection_update(NETWORK, uuid, [_add("x", "rule-x")])
        for number in range(12):
            await database.prop_collection_update(NETWORK, uuid, [_add(number)])
        read = await database.object_get(NETWORK, uuid)
        assert read["routes"] == ["first", "x", *range(12)]
        positions = await self.positions(database, uuid)
        assert len({*positions}) == 14

    async def test_add_and_modify_replace_what_is_there(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(routes=["a", "b"])
        await database.prop_collection_update(NETWORK, uuid, [_add("A", "0"), _modify("1", "B")])
        await database.prop_collection_update(NETWORK, uuid, [_modify("9", "new")])
        assert await database.prop_collection_read(NETWORK, uuid, ["routes"]) == {
            "routes": [("A", "0"), ("B", "1"), ("new", "9")]
        }

    async def test_delete_of_what_is_not_there(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network(routes=["a"], tenants=[{"name": "t"}])
        updates = [_delete("5"), _delete("x"), _delete("u", "tenants")]
        await database.prop_collection_update(NETWORK, uuid, updates)
        read = await database.object_get(NETWORK, uuid)
        assert (read["routes"], read["tenants"]) == (["a"], [{"name": "t"}])

    async def test_updates_are_applied_in_order(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network(routes=["a"])
        updates = [
            _add("b"),
            _modify("1", "B"),
            _add("c"),
            _delete("0"),
            _delete("2"),
            _add("d", "0"),
            _add("e"),
        ]
        await database.prop_collection_update(NETWORK, uuid, updates)
        assert await database.prop_collection_read(NETWORK, uuid, ["routes"]) == {
            "routes": [("d", "0"), ("B", "1"), ("e", "2")]
        }

    async def test_map_set_and_delete(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network(bindings={"key_value_pair": [{"key": "b", "v": 1}]})
        keys = ["", "a", "b:c", "0", "10", "9", "Ü", "/"]
        updates = [CollectionUpdate("bindings", "set", {"key": key, "v": 2}) for key in keys if key]
        updates.append(CollectionUpdate("bindings", "set", {"key": "b", "v": 3}, "b"))
        updates.append(_delete("a", "bindings"))
        result = await database.prop_collection_update(NETWORK, uuid, updates)
        read = await database.object_get(NETWORK, uuid)
        assert read.revision == result.revision
        # Sorted by key as text.
        pairs = [(pair["key"], pair["v"]) for pair in read["bindings"]["key_value_pair"]]
        assert pairs == [("/", 2), ("0", 2), ("10", 2), ("9", 2), ("b", 3), ("b:c", 2), ("Ü", 2)]

    async def test_last_element_leaves_no_collection(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(
            routes=["a"], alarm_rules={"or_list": [1]}, tenants=[{"name": "t"}]
        )
        updates = [_delete("0"), _delete("0", "alarm_rules"), _delete("t", "tenants")]
        await database.prop_collection_update(NETWORK, uuid, updates)
        read = await database.object_get(NETWORK, uuid)
        assert {"routes", "alarm_rules", "tenants"} & set(read) == set()
        await database.prop_collection_update(NETWORK, uuid, [_add("again")])
        assert await self.positions(database, uuid) == ["0"]

    @pytest.mark.parametrize(
        "update",
        [
            CollectionUpdate("routes", "set", {"key": "a"}),
            CollectionUpdate("routes", "modify", 1),
            CollectionUpdate("routes", "delete"),
            CollectionUpdate("routes", "add", 1, ""),
            CollectionUpdate("routes", "add", 1, "x" * 256),
            CollectionUpdate("routes", "add", 1, "a\0b"),
            CollectionUpdate("routes", "add", b"bytes"),
            CollectionUpdate("tenants", "add", {"name": "t"}),
            CollectionUpdate("tenants", "modify", {"name": "t"}, "t"),
            CollectionUpdate("tenants", "set", {"key": "t"}),
            CollectionUpdate("tenants", "set", "t"),
            CollectionUpdate("tenants", "set", {"name": "t"}, "u"),
            CollectionUpdate("tenants", "set", {"name": 5}),
            CollectionUpdate("tenants", "delete"),
            CollectionUpdate("mtu", "add", 1),
            CollectionUpdate("nothing", "add", 1),
            CollectionUpdate("routes", "clear", 1),  # type: ignore[arg-type]  # a wrong one
        ],
        ids=lambda step: f"{step.field} {step.operation} {step.value!r} {step.position!r}"[:50],
    )
    async def test_bad_update_is_refused_as_a_whole(
        self, database: ConfigDatabase, site: Site, update: CollectionUpdate
    ) -> None:
        uuid = await site.network(routes=["a"])
        before = await database.object_get(NETWORK, uuid)
        with pytest.raises(InvalidRequestError):
            await database.prop_collection_update(NETWORK, uuid, [_add("b"), update])
        after = await database.object_get(NETWORK, uuid)
        assert (after, after.revision) == (before, before.revision)

    @pytest.mark.parametrize("updates", [[], None, "text"])
    async def test_no_update_is_refused(
        self, database: ConfigDatabase, site: Site, updates: Any
    ) -> None:
        uuid = await site.network()
        with pytest.raises((InvalidRequestError, TypeError, AttributeError)):
            await database.prop_collection_update(NETWORK, uuid, updates)

    async def test_elements_at_expected_revision(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(routes=["a"])
        revision = (await database.object_get(NETWORK, uuid)).revision
        result = await database.prop_collection_update(
            NETWORK, uuid, [_add("b")], expected_revision=revision
        )
        assert result.revision > revision
        with pytest.raises(RevisionConflictError) as refusal:
            await database.prop_collection_update(
                NETWORK, uuid, [_add("c")], expected_revision=revision
            )
        assert (refusal.value.expected, refusal.value.actual) == (revision, result.revision)
        assert await self.positions(database, uuid) == ["0", "1"]

    async def test_result_and_other_fields(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network(mtu=5, routes=["a"])
        before = await database.object_get(NETWORK, uuid)
        result = await database.prop_collection_update(NETWORK, uuid, [_add("b")])
        read = await database.object_get(NETWORK, uuid)
        assert (read.revision, read.last_modified) == (result.revision, result.last_modified)
        assert result.revision > before.revision
        assert result.peers == ()
        assert (read["mtu"], read.created) == (5, before.created)

    async def test_concurrent_appends_are_all_there(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        uuid = await site.network()
        await harness.gather(
            *(
                client.prop_collection_update(NETWORK, uuid, [_add(number)])
                for number, client in enumerate([database, other] * 10)
            )
        )
        read = await database.object_get(NETWORK, uuid)
        assert sorted(read["routes"]) == [*range(20)]
        assert len({*await self.positions(database, uuid)}) == 20
