"""The objects that the engines on servers are measured with.

A network has about 1.5 KB of properties, 7 elements, 4 refs, a parent and about 4 back refs. It
stands among 1 000 000 others, whose parents have 10 000 children each.
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID, uuid5

from asyncbackends import ConfigDatabase, MapProperty, ObjectType, RefType, Schema
from asyncbackends.protocols.values import ALL_FIELDS

__all__ = (
    "BATCH",
    "CHILDREN",
    "FULL",
    "NETWORKS",
    "PARENTS",
    "SCHEMA",
    "batch",
    "network_id",
    "new_network",
    "parent_id",
    "populate",
    "stored_objects",
)

PARENTS: Final = 100
CHILDREN: Final = 10_000
NETWORKS: Final = 1000
POLICIES: Final = 200
REFS: Final = 4
BATCH: Final = 200
UNIT: Final = 100
SPACE: Final = UUID(int=7)

SCHEMA: Final = Schema(
    {
        "project": ObjectType(),
        "policy": ObjectType(),
        "network": ObjectType(
            parents=("project",),
            lists={"route_targets": None},
            maps={"annotations": MapProperty()},
            refs={"policy": RefType()},
        ),
        "router": ObjectType(refs={"network": RefType()}),
    }
)

FULL: Final[Mapping[str, Any]] = {
    "id_perms": {
        "enable": True,
        "user_visible": True,
        "description": "d" * 60,
        "creator": "neutron",
        "permissions": {"owner": "admin", "owner_access": 7, "group": "admin", "group_access": 7},
        "uuid": {"uuid_mslong": 1234567890123456789, "uuid_lslong": 9876543210987654321},
    },
    "perms2": {"owner": "a" * 32, "owner_access": 7, "global_access": 0, "share": []},
    "display_name": "network of the customer " + "n" * 40,
    "network_id": 4711,
    "is_shared": False,
    "router_external": False,
    "port_security_enabled": True,
    "address_allocation_mode": "user-defined-subnet-only",
    "properties": {"forwarding_mode": "l2_l3", "rpf": "enable", "vxlan_id": 100, "mtu": 1500},
    **{
        f"policy_{number}": {"value": "x" * 110, "number": number, "applied": True}
        for number in range(4)
    },
    "provider": {"segmentation_id": 100, "physical_network": "physnet" + "p" * 60},
    "route_targets": [f"target:64512:{number}" for number in range(4)],
    "annotations": [{"key": f"key-{number}", "value": "v" * 20} for number in range(3)],
}


def parent_id(number: int) -> str:
    """Give the uuid of a parent."""
    return str(UUID(int=(1 << 64) + number))


def network_id(number: int) -> str:
    """Give the uuid of one of the networks that are read."""
    return str(uuid5(SPACE, f"network {number % NETWORKS}"))


def policy_id(number: int) -> str:
    return str(uuid5(SPACE, f"policy {number % POLICIES}"))


def batch(number: int) -> list[str]:
    """Give the uuids of a batch, of which there are several."""
    return [network_id(BATCH * number + step) for step in range(BATCH)]


def network(uuid: str, number: int) -> dict[str, Any]:
    targets = (policy_id(number * 7 + step) for step in range(REFS))
    return {
        "fq_name": ["domain", f"project-{number % PARENTS}", uuid],
        "parent_type": "project",
        "parent_uuid": parent_id(number % PARENTS),
        **FULL,
        "policy_refs": [{"uuid": to, "attr": {"sequence": {"major": 1}}} for to in targets],
    }


def new_network(number: int) -> tuple[str, dict[str, Any]]:
    """Give a network that nobody made before, as (uuid, dict)."""
    uuid = str(uuid5(SPACE, f"new {number}"))
    return uuid, network(uuid, number)


async def populate(db: ConfigDatabase) -> None:
    """Make the networks and what leads to and from them; the parents are there."""
    policies = [policy_id(number) for number in range(POLICIES)]
    await db.object_create_many(
        [("policy", uuid, {"fq_name": ["domain", uuid]}) for uuid in policies]
    )
    for start in range(0, NETWORKS, UNIT):
        numbers = range(start, start + UNIT)
        await db.object_create_many(
            [
                ("network", network_id(number), network(network_id(number), number))
                for number in numbers
            ]
        )
    for start in range(0, NETWORKS, UNIT):
        await db.object_create_many(
            [
                (
                    "router",
                    str(uuid5(SPACE, f"router {number}")),
                    {
                        "fq_name": ["domain", f"router-{number}"],
                        "network_refs": [
                            {"uuid": network_id(number * 3 + step * 31), "attr": None}
                            for step in range(REFS)
                        ],
                    },
                )
                for number in range(start, start + UNIT)
            ]
        )


async def stored_objects(db: ConfigDatabase) -> list[tuple[str, dict[str, Any]]]:
    """Give all objects that a batch touches, as (type, dict) with every field."""
    found: list[tuple[str, dict[str, Any]]] = []
    for obj_type in ("policy", "router"):
        every = db.object_iter(obj_type, field_names=ALL_FIELDS)
        found += [(obj_type, dict(one)) async for one in every]
    for start in range(0, NETWORKS, BATCH):
        read = await db.object_read("network", batch(start // BATCH), ALL_FIELDS)
        found += [("network", dict(one)) for one in read]
    return found
