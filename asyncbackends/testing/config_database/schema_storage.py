"""The schema lives in the database: the first open stores it, a superset replaces it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyncbackends.errors import ConfigurationError, InvalidRequestError
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.schema import ObjectType, RefType, Schema
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures, OpenDatabase
from asyncbackends.testing.config_database.sample import (
    KIT_SCHEMA,
    WIDER_SCHEMA,
    Site,
    new_id,
    refs,
)

__all__ = ("SchemaConformance",)


def _without(field: str) -> Schema:
    """Give the kit's schema with something of virtual_network missing."""
    network = KIT_SCHEMA.types["virtual_network"]
    changed: dict[str, Callable[[], ObjectType]] = {
        "mtu": lambda: _network(
            properties=tuple(name for name in network.properties or () if name != "mtu"),
            indexed=("label", "external"),
        ),
        "routes": lambda: _network(lists={"alarm_rules": "or_list"}),
        "tenants": lambda: _network(maps={"bindings": network.maps["bindings"]}),
        "tag": lambda: _network(refs={"network_policy": RefType()}),
        "alarm_rules": lambda: _network(lists={"routes": None, "alarm_rules": None}),
        "project": lambda: _network(parents=("domain",)),
    }
    return Schema({**KIT_SCHEMA.types, "virtual_network": changed[field]()})


def _network(**changes: Any) -> ObjectType:
    network = KIT_SCHEMA.types["virtual_network"]
    fields = {name: getattr(network, name) for name in network.__struct_fields__}
    merged: dict[str, Any] = {**fields, **changes}
    return ObjectType(**merged)


class SchemaConformance(DatabaseFixtures):
    """``ConfigDatabase.schema`` and ``set_schema``, and the option ``schema``."""

    async def test_open_without_a_schema_uses_the_stored_one(
        self, database: ConfigDatabase, open_database: OpenDatabase, site: Site
    ) -> None:
        if not self.clients_share:
            async with open_database(schema=None) as other:
                assert other.schema == Schema()
            return
        uuid = await site.network(mtu=1500)
        async with open_database(schema=None) as other:
            assert other.schema == KIT_SCHEMA
            assert (await other.object_get("virtual_network", uuid))["mtu"] == 1500

    async def test_superset_replaces_the_stored_one(
        self, database: ConfigDatabase, open_database: OpenDatabase, site: Site
    ) -> None:
        if not self.clients_share:
            await database.set_schema(WIDER_SCHEMA)
            assert database.schema == WIDER_SCHEMA
            return
        network = await site.network()
        async with open_database(schema=WIDER_SCHEMA) as other:
            assert other.schema == WIDER_SCHEMA
            target = new_id()
            content = {"fq_name": ["target:1"], "weight": 5, "virtual_network_refs": refs(network)}
            await other.object_create("route_target", target, content)
            async with open_database(schema=None) as third:
                assert third.schema == WIDER_SCHEMA
                assert (await third.object_get("route_target", target))["weight"] == 5

    async def test_subset_is_refused(
        self, database: ConfigDatabase, open_database: OpenDatabase, site: Site
    ) -> None:
        types = {name: one for name, one in KIT_SCHEMA.types.items() if name != "note"}
        with pytest.raises(ConfigurationError, match="note"):
            await database.set_schema(Schema(types))
        assert database.schema == KIT_SCHEMA
        if self.clients_share:
            with pytest.raises(ConfigurationError, match="note"):
                async with open_database(schema=Schema(types)):
                    pass

    @pytest.mark.parametrize("field", ["mtu", "routes", "tenants", "tag", "alarm_rules", "project"])
    async def test_narrowing_names_type_and_field(
        self, database: ConfigDatabase, site: Site, field: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=f"virtual_network.*{field}"):
            await database.set_schema(_without(field))
        assert database.schema == KIT_SCHEMA
        await site.network(mtu=1, routes=["r"], tenants=[{"name": "t"}])

    async def test_set_schema_widens(self, database: ConfigDatabase, site: Site) -> None:
        with pytest.raises(InvalidRequestError):
            await database.object_list("floating_ip")
        await database.set_schema(KIT_SCHEMA)
        await database.set_schema(WIDER_SCHEMA)
        assert database.schema == WIDER_SCHEMA
        content = {**site.below("ip"), "address": "10.0.0.1"}
        await database.object_create("floating_ip", uuid := new_id(), content)
        assert (await database.object_get("floating_ip", uuid))["address"] == "10.0.0.1"

    async def test_database_without_a_schema_has_no_types(
        self, open_database: OpenDatabase
    ) -> None:
        async with open_database(schema=None) as database:
            assert database.schema == Schema()
            with pytest.raises(InvalidRequestError, match="schema"):
                await database.object_create("tag", new_id(), {"fq_name": ["a"]})
            with pytest.raises(InvalidRequestError):
                await database.object_list("tag")
            await database.kv_put("t", "k", {"a": 1})
            assert await database.uuids_to_fq_names([new_id()]) == {}
            await database.set_schema(KIT_SCHEMA)
            await database.object_create("tag", new_id(), {"fq_name": ["a"]})
            assert await database.object_list("tag", count=True) == 1

    async def test_schema_may_be_a_file(self, open_database: OpenDatabase, tmp_path: Path) -> None:
        file = tmp_path / "schema.toml"
        file.write_text(KIT_SCHEMA.to_toml(), "utf-8")
        async with open_database(schema=str(file)) as database:
            assert database.schema == KIT_SCHEMA
        with pytest.raises(ConfigurationError, match=r"absent\.toml"):
            async with open_database(schema=str(tmp_path / "absent.toml")):
                pass
