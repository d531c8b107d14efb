"""Every kind of value reads back equal wherever it is stored; what JSON does not have is refused."""

import math
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from asyncbackends.errors import InvalidRequestError
from asyncbackends.object_model.values import json_equal
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import CollectionUpdate, Json
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.sample import Site, new_id

__all__ = ("ValuesConformance",)

NETWORK, POLICY = "virtual_network", "network_policy"


def _nested(depth: int) -> Json:
    """Give a value of so many containers in one another."""
    value: Json = []
    for number in range(depth - 1):
        value = [value] if number % 2 else {"x": value}
    return value


VALUES: Mapping[str, Json] = {
    "true": True,
    "false": False,
    "zero": 0,
    "int": -7,
    "smallest-int": -(2**63),
    "2**53+1": 2**53 + 1,
    "largest-int": 2**64 - 1,
    "float": 0.1,
    "integral-float": 2.0,
    "negative-zero": -0.0,
    "large-float": 1.7976931348623157e308,
    "small-float": 5e-324,
    "empty-text": "",
    "text": "plain",
    "unicode": "ü 名 😀 \u2028 \ufeff \u00a0",
    "controls": "".join(map(chr, range(1, 32))) + "\x7f\x85",
    "quotes": "\"'`\\/$%?:@{}[]<!---->--;",
    "spaces": "  both ends\t\r\n ",
    "looks-like-json": '{"a": 1}',
    "looks-like-null": "null",
    "long-text": "x" * 100_000,
    "empty-list": [],
    "list": [1, "a", None, [], {}],
    "empty-dict": {},
    "dict": {"": 1, "a.b": 2, "$x": {"ü": None}, "n": [True, {"z": 0.5}]},
    "nested-64": _nested(64),
    "long-list": [*range(2000)],
    "uuid-long": {"uuid_mslong": 2**63 + 5, "uuid_lslong": 2**64 - 3},
}

REFUSED: Mapping[str, Any] = {
    "nan": math.nan,
    "inf": -math.inf,
    "bytes": b"secret",
    "tuple": (1, 2),
    "set": {1},
    "decimal": Decimal(1),
    "uuid": UUID(int=1),
    "object": object(),
    "too-large": 2**64,
    "too-small": -(2**63) - 1,
    "nul": "a\0b",
    "surrogate": "\udc80",
    "int-key": {1: "x"},
    "nul-key": {"a\0": 1},
    "none-key": {None: 1},
    "inside": {"a": [1, {"b": b"x"}]},
    "nested-65": _nested(65),
}


async def _as_property(database: ConfigDatabase, site: Site, value: Json) -> Json:
    uuid = await site.network(settings=value)
    read = (await database.object_get(NETWORK, uuid))["settings"]
    await database.object_update(NETWORK, uuid, {"weight": value})
    (raw,) = await database.object_raw_read(NETWORK, [uuid], ["settings", "weight"])
    assert json_equal(raw["settings"], raw["weight"])
    assert json_equal(read, raw["weight"])
    return read


async def _as_element(database: ConfigDatabase, site: Site, value: Json) -> Json:
    uuid = await site.network(routes=[value])
    await database.prop_collection_update(NETWORK, uuid, [CollectionUpdate("routes", "add", value)])
    first, second = (await database.object_get(NETWORK, uuid))["routes"]
    assert json_equal(first, second)
    read = await database.prop_collection_read(NETWORK, uuid, ["routes"])
    assert [position for _, position in read["routes"]] == ["0", "1"]
    assert all(json_equal(element, first) for element, _ in read["routes"])
    return first


async def _as_map_element(database: ConfigDatabase, site: Site, value: Json) -> Json:
    uuid = await site.network(tenants=[{"name": "a", "value": value}])
    update = CollectionUpdate("tenants", "set", {"name": "b", "value": value})
    await database.prop_collection_update(NETWORK, uuid, [update])
    first, second = (await database.object_get(NETWORK, uuid))["tenants"]
    assert json_equal(first["value"], second["value"])
    return first["value"]


async def _as_attr(database: ConfigDatabase, site: Site, value: Json) -> Json:
    policy = await site.policy()
    ref = {"uuid": policy, "attr": value}
    uuid = await site.network(network_policy_refs=[ref])
    (read,) = (await database.object_get(NETWORK, uuid))["network_policy_refs"]
    await database.create_ref(NETWORK, uuid, POLICY, policy, {"attr": value})
    fields = ["virtual_network_back_refs"]
    (back,) = (await database.object_get(POLICY, policy, fields))["virtual_network_back_refs"]
    assert json_equal(read["attr"], back["attr"])
    return read["attr"]


async def _as_column(database: ConfigDatabase, site: Site, value: Json) -> Json:
    await database.kv_put("t", "k", {"a": value})
    ((_, columns),) = await database.kv_list("t")
    await database.kv_replace("t", "k", {"a": value, "b": None})
    read = await database.kv_get("t", "k")
    assert json_equal(columns["a"], read["a"])
    assert read["b"] is None
    return read["a"]


PLACES: Mapping[str, Callable[[ConfigDatabase, Site, Json], Awaitable[Json]]] = {
    "property": _as_property,
    "element": _as_element,
    "map-element": _as_map_element,
    "attr": _as_attr,
    "column": _as_column,
}


class ValuesConformance(DatabaseFixtures):
    """What may be stored, on every engine alike."""

    @pytest.mark.parametrize("place", list(PLACES))
    @pytest.mark.parametrize("value", list(VALUES))
    async def test_value_reads_back_equal(
        self, database: ConfigDatabase, site: Site, place: str, value: str
    ) -> None:
        # What is wrapped in a property may be as deep as any value.
        written = _nested(62) if value == "nested-64" and place == "map-element" else VALUES[value]
        read = await PLACES[place](database, site, written)
        assert read == written
        assert json_equal(read, written)

    @pytest.mark.parametrize("place", list(PLACES))
    @pytest.mark.parametrize("value", list(REFUSED))
    async def test_what_is_no_json_is_refused(
        self, database: ConfigDatabase, site: Site, place: str, value: str
    ) -> None:
        before = await database.object_list(NETWORK, count=True)
        revision = await database.current_revision()
        with pytest.raises(InvalidRequestError) as refusal:
            await PLACES[place](database, site, REFUSED[value])
        assert isinstance(refusal.value, ValueError)
        assert await database.object_list(NETWORK, count=True) == before
        # The policy that the attr's place made.
        assert await database.current_revision() <= revision + (place == "attr")
        assert (await database.kv_list("t")).items == []

    async def test_null_is_a_value_inside_others_alone(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(settings={"a": None}, routes=[None, 1], weight=None)
        read = await database.object_get(NETWORK, uuid)
        assert read["settings"] == {"a": None}
        assert read["routes"] == [None, 1]
        assert "weight" not in read

    async def test_error_does_not_show_large_values(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        with pytest.raises(InvalidRequestError) as refusal:
            await site.network(settings={"password": "secret" * 10_000, "bad": b"x"})
        assert "secret" not in str(refusal.value)
        assert "settings" in str(refusal.value)

    async def test_value_limit(self, database: ConfigDatabase, site: Site) -> None:
        limit = database.limits.value_bytes
        # An element of a map holds its key, too.
        large = "x" * (2_000_000 if limit is None else limit - 100)
        for place in PLACES.values():
            assert await place(database, await _fresh(database), large) == large
        if limit is None:
            return
        for place in PLACES.values():
            with pytest.raises(InvalidRequestError):
                await place(database, await _fresh(database), "x" * limit)

    async def test_object_limit(self, database: ConfigDatabase, site: Site) -> None:
        limit = database.limits.object_bytes
        if limit is None:
            uuid = await site.network(routes=["x" * 1000] * 1000)
            assert len((await database.object_get(NETWORK, uuid))["routes"]) == 1000
            return
        value = min(limit, database.limits.value_bytes or limit) // 2
        with pytest.raises(InvalidRequestError):
            await site.network(routes=["x" * value] * (limit // value + 1))

    async def test_name_limit(self, database: ConfigDatabase) -> None:
        limit = database.limits.fq_name_bytes
        longest = "x" * (limit - 4)
        await database.object_create("tag", uuid := new_id(), {"fq_name": [longest]})
        assert await database.uuid_to_fq_name(uuid) == [longest]
        with pytest.raises(InvalidRequestError):
            await database.object_create("tag", new_id(), {"fq_name": [f"{longest}x"]})
        # Bytes, not characters.
        with pytest.raises(InvalidRequestError):
            await database.object_create("tag", new_id(), {"fq_name": ["ü" * (limit - 4)]})


async def _fresh(database: ConfigDatabase) -> Site:
    """Give another project, so that names are free."""
    site = Site(database)
    site.path[0] = f"domain-{site.domain}"
    return await site.prepare()
