"""Every coroutine method of the Protocol, called once, for the tests that hold for all of them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import CollectionUpdate
from asyncbackends.testing.config_database.sample import KIT_SCHEMA, new_id

__all__ = ("EVERY_CALL", "Call")

Call = Callable[[ConfigDatabase], Awaitable[Any]]

NETWORK, POLICY = "virtual_network", "network_policy"
ID, OTHER = new_id(), new_id()
STEP = CollectionUpdate("routes", "add", 1)


async def _iterate(database: ConfigDatabase) -> None:
    async for _ in database.object_iter("tag"):
        pass


async def _batch(database: ConfigDatabase) -> None:
    async with database.batch() as batch:
        batch.object_create("tag", ID, {"fq_name": ["a"]})


async def _watch(database: ConfigDatabase) -> None:
    async with database.watch():
        pass


EVERY_CALL: Mapping[str, Call] = {
    "object_create": lambda d: d.object_create("tag", ID, {"fq_name": ["a"]}),
    "object_create_many": lambda d: d.object_create_many([("tag", ID, {"fq_name": ["a"]})]),
    "object_get": lambda d: d.object_get("tag", ID),
    "object_read": lambda d: d.object_read("tag", [ID]),
    "object_raw_read": lambda d: d.object_raw_read("tag", [ID], ["value"]),
    "object_update": lambda d: d.object_update("tag", ID, {}),
    "object_delete": lambda d: d.object_delete("tag", ID),
    "object_list": lambda d: d.object_list("tag"),
    "object_iter": _iterate,
    "object_count_children": lambda d: d.object_count_children("domain", ID, "tag"),
    "prop_collection_read": lambda d: d.prop_collection_read(NETWORK, ID, ["routes"]),
    "prop_collection_update": lambda d: d.prop_collection_update(NETWORK, ID, [STEP]),
    "fq_name_to_uuid": lambda d: d.fq_name_to_uuid("tag", ["a"]),
    "fq_names_to_uuids": lambda d: d.fq_names_to_uuids("tag", [["a"]]),
    "uuid_to_fq_name": lambda d: d.uuid_to_fq_name(ID),
    "uuids_to_fq_names": lambda d: d.uuids_to_fq_names([ID]),
    "uuid_to_obj_type": lambda d: d.uuid_to_obj_type(ID),
    "ref_update": lambda d: d.ref_update(NETWORK, ID, POLICY, OTHER, None, "ADD"),
    "create_ref": lambda d: d.create_ref(NETWORK, ID, POLICY, OTHER),
    "delete_ref": lambda d: d.delete_ref(NETWORK, ID, POLICY, OTHER),
    "ref_relax_for_delete": lambda d: d.ref_relax_for_delete(ID, OTHER),
    "get_relaxed_refs": lambda d: d.get_relaxed_refs(ID),
    "get_shared": lambda d: d.get_shared("tag"),
    "set_shared": lambda d: d.set_shared("tag", ID),
    "del_shared": lambda d: d.del_shared("tag", ID),
    "useragent_kv_store": lambda d: d.useragent_kv_store("k", "v"),
    "useragent_kv_retrieve": lambda d: d.useragent_kv_retrieve("k"),
    "useragent_kv_delete": lambda d: d.useragent_kv_delete("k"),
    "is_latest": lambda d: d.is_latest(ID, 1),
    "update_perms2": lambda d: d.update_perms2(ID),
    "kv_get": lambda d: d.kv_get("t", "k"),
    "kv_put": lambda d: d.kv_put("t", "k", {"a": 1}),
    "kv_delete": lambda d: d.kv_delete("t", "k"),
    "kv_replace": lambda d: d.kv_replace("t", "k", {"a": 1}),
    "kv_list": lambda d: d.kv_list("t"),
    "batch": _batch,
    "watch": _watch,
    "current_revision": lambda d: d.current_revision(),
    "set_schema": lambda d: d.set_schema(KIT_SCHEMA),
    "server_info": lambda d: d.server_info(),
}
