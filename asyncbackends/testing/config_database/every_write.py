"""Every method that writes, in one shape, for the tests that hold for all of them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

import msgspec

from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.values import ALL_FIELDS, CollectionUpdate, Fence, Json
from asyncbackends.testing.config_database.sample import Site, new_id, numbered_id, refs

__all__ = (
    "EVERY_WRITE",
    "FENCED_WRITES",
    "Place",
    "Write",
    "anonymous_state_of",
    "prepared_place",
    "state_of",
)

NETWORK, POLICY = "virtual_network", "network_policy"


class Place(msgspec.Struct):
    """What one write is about: objects, rows and keys that nobody else touches."""

    site: Site
    network: str
    peer: str
    policy: str
    fresh: str
    second: str
    key: str

    def name(self, last: str) -> dict[str, Json]:
        """Give the identity of an object that is new here."""
        return self.site.below(f"{last}-{self.key}")


Perform = Callable[[ConfigDatabase, Place, Fence | None], Awaitable[Any]]


class Write(msgspec.Struct, frozen=True):
    """A method that writes."""

    name: str
    perform: Perform
    fenced: bool = True


async def prepared_place(site: Site) -> Place:
    """Make the objects of a place."""
    key = new_id()
    # The ids of every place sort alike.
    network, peer, policy, fresh, second = (numbered_id(number) for number in range(5))
    await site.policy(f"policy-{key}", policy)
    await site.network(f"peer-{key}", peer, mtu=1)
    await site.network(
        f"network-{key}",
        network,
        mtu=1,
        label=key,
        routes=[f"r{number}" for number in range(3)],
        tenants=[{"name": "a"}],
        network_policy_refs=refs(policy),
        virtual_network_refs=refs(peer),
    )
    await site.database.set_shared(NETWORK, network, key, "tenant", 5)
    await site.database.kv_put("table", key, {"a": 1, "b": 2})
    await site.database.useragent_kv_store(key, "value")
    return Place(site, network, peer, policy, fresh, second, key)


async def state_of(database: ConfigDatabase, place: Place) -> dict[str, Any]:
    """Read all that the writes of a place may touch."""
    ids = [place.network, place.peer, place.fresh, place.second]
    networks = await database.object_read(NETWORK, ids, ALL_FIELDS, missing="skip")
    policies = await database.object_read(POLICY, [place.policy], ALL_FIELDS, missing="skip")
    fields = ["routes", "tenants"]
    positions: list[Mapping[str, Any]] = [
        await database.prop_collection_read(NETWORK, one["uuid"], fields) for one in networks
    ]
    rows = {key: row for key, row in await database.kv_list("table") if key == place.key}
    label: Json = place.key
    return {
        "objects": [dict(one) for one in (*networks, *policies)],
        "positions": positions,
        "names": await database.fq_names_to_uuids(
            NETWORK, [place.name(last)["fq_name"] for last in ("fresh", "second", "network")]
        ),
        "indexed": (await database.object_list(NETWORK, filters={"label": [label]})).items,
        "relaxed": await database.get_relaxed_refs(place.policy),
        "shared": await database.get_shared(NETWORK, place.key, "tenant"),
        "row": rows,
        "useragent": await database.useragent_kv_retrieve([place.key]),
    }


async def anonymous_state_of(database: ConfigDatabase, place: Place) -> Any:
    """Give the state without what differs from place to place."""
    names = {
        **{getattr(place, name): name for name in ("network", "peer", "policy", "fresh", "second")},
        place.key: "key",
    }

    def renamed_items(items: dict[Any, Any]) -> dict[Any, Any]:
        return {renamed(name): renamed(item) for name, item in items.items()}

    def renamed(value: Any) -> Any:
        match value:
            case str():
                return names.get(value, value.replace(place.key, "key"))
            case dict():
                return renamed_items(cast("Any", value))
            case list() | tuple():
                some = cast("Sequence[Any]", value)
                return tuple(renamed(item) for item in some)
            case _:
                return value

    return renamed(await state_of(database, place))


async def _create(database: ConfigDatabase, place: Place, fence: Fence | None) -> Any:
    content = {
        **place.name("fresh"),
        "label": place.key,
        "routes": ["r"],
        "tenants": [{"name": "t"}],
        "virtual_network_refs": refs(place.peer, attr=1),
        "network_policy_refs": refs(place.policy),
    }
    return await database.object_create(NETWORK, place.fresh, content, fence=fence)


async def _create_many(database: ConfigDatabase, place: Place, fence: Fence | None) -> Any:
    second = {**place.name("second"), "virtual_network_refs": refs(place.fresh)}
    objects = [
        (NETWORK, place.fresh, {**place.name("fresh"), "label": place.key}),
        (NETWORK, place.second, second),
    ]
    return await database.object_create_many(objects, fence=fence)


async def _update(database: ConfigDatabase, place: Place, fence: Fence | None) -> Any:
    content: dict[str, Json] = {
        "mtu": 2,
        "label": None,
        "routes": ["x"],
        "tenants": [],
        "virtual_network_refs": [],
        "network_policy_refs": refs(place.policy, attr=2),
    }
    return await database.object_update(NETWORK, place.network, content, fence=fence)


async def _delete(database: ConfigDatabase, place: Place, fence: Fence | None) -> Any:
    return await database.object_delete(NETWORK, place.network, fence=fence)


async def _elements(database: ConfigDatabase, place: Place, fence: Fence | None) -> Any:
    updates = [
        CollectionUpdate("routes", "add", "new"),
        CollectionUpdate("routes", "delete", position="0"),
        CollectionUpdate("tenants", "set", {"name": "b"}),
    ]
    return await database.prop_collection_update(NETWORK, place.network, updates, fence=fence)


async def _ref_add(database: ConfigDatabase, place: Place, fence: Fence | None) -> Any:
    return await database.ref_update(
        NETWORK, place.network, NETWORK, place.peer, {"attr": 5}, "ADD", fence=fence
    )


async def _ref_delete(database: ConfigDatabase, place: Place, fence: Fence | None) -> Any:
    return await database.ref_update(
        NETWORK, place.network, NETWORK, place.peer, None, "DELETE", fence=fence
    )


async def _create_ref(database: ConfigDatabase, place: Place, fence: Fence | None) -> Any:
    return await database.create_ref(
        NETWORK, place.peer, POLICY, place.policy, relax_for_delete=True, fence=fence
    )


async def _delete_ref(database: ConfigDatabase, place: Place, fence: Fence | None) -> Any:
    return await database.delete_ref(NETWORK, place.network, POLICY, place.policy, fence=fence)


async def _kv_put(database: ConfigDatabase, place: Place, fence: Fence | None) -> Any:
    return await database.kv_put("table", place.key, {"b": 3, "c": 4}, fence=fence)


async def _kv_replace(database: ConfigDatabase, place: Place, fence: Fence | None) -> Any:
    return await database.kv_replace("table", place.key, {"z": 1}, fence=fence)


async def _kv_delete(database: ConfigDatabase, place: Place, fence: Fence | None) -> Any:
    return await database.kv_delete("table", place.key, ["a"], fence=fence)


async def _batch(database: ConfigDatabase, place: Place, fence: Fence | None) -> Any:
    async with database.batch(fence=fence) as batch:
        batch.object_update(NETWORK, place.network, {"mtu": 7, "label": None})
        batch.create_ref(NETWORK, place.network, NETWORK, place.peer, {"attr": 7})
        batch.set_shared(NETWORK, place.network, place.key, "tenant", 1)
        if Guarantee.ATOMIC_BATCH in database.guarantees:
            batch.object_create(NETWORK, place.fresh, place.name("fresh"))
            batch.kv_put("table", place.key, {"batch": True})
            batch.useragent_kv_store(place.key, "batch")


async def _relax(database: ConfigDatabase, place: Place, _: Fence | None) -> Any:
    return await database.ref_relax_for_delete(place.network, place.policy)


async def _set_shared(database: ConfigDatabase, place: Place, _: Fence | None) -> Any:
    return await database.set_shared(NETWORK, place.peer, place.key, "tenant", 3)


async def _del_shared(database: ConfigDatabase, place: Place, _: Fence | None) -> Any:
    return await database.del_shared(NETWORK, place.network, place.key, "tenant")


async def _store(database: ConfigDatabase, place: Place, _: Fence | None) -> Any:
    return await database.useragent_kv_store(place.key, "new")


async def _forget(database: ConfigDatabase, place: Place, _: Fence | None) -> Any:
    return await database.useragent_kv_delete(place.key)


async def _perms2(database: ConfigDatabase, place: Place, _: Fence | None) -> Any:
    return await database.update_perms2(place.network)


FENCED_WRITES = (
    Write("object_create", _create),
    Write("object_create_many", _create_many),
    Write("object_update", _update),
    Write("object_delete", _delete),
    Write("prop_collection_update", _elements),
    Write("ref_update-ADD", _ref_add),
    Write("ref_update-DELETE", _ref_delete),
    Write("create_ref", _create_ref),
    Write("delete_ref", _delete_ref),
    Write("kv_put", _kv_put),
    Write("kv_replace", _kv_replace),
    Write("kv_delete", _kv_delete),
    Write("batch", _batch),
)
"""Those that take a fence."""

EVERY_WRITE = (
    *FENCED_WRITES,
    Write("ref_relax_for_delete", _relax, fenced=False),
    Write("set_shared", _set_shared, fenced=False),
    Write("del_shared", _del_shared, fenced=False),
    Write("useragent_kv_store", _store, fenced=False),
    Write("useragent_kv_delete", _forget, fenced=False),
    Write("update_perms2", _perms2, fenced=False),
)
