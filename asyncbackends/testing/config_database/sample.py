"""The schema that the kit works with, and a site of objects in it."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import Json
from asyncbackends.schema import NO_PARENT, MapProperty, ObjectType, RefType, Schema

__all__ = ("KIT_SCHEMA", "WIDER_SCHEMA", "Site", "new_id", "numbered_id", "refs", "uuids_of")

KIT_SCHEMA = Schema(
    {
        "domain": ObjectType(
            parents=(NO_PARENT,), properties=("id_perms", "display_name"), derived_children=("tag",)
        ),
        "project": ObjectType(
            parents=("domain",),
            properties=("id_perms", "perms2", "display_name", "quota"),
            refs={"tag": RefType(attr=False)},
        ),
        "virtual_network": ObjectType(
            parents=("project",),
            properties=("id_perms", "mtu", "external", "label", "settings", "weight", "perms2"),
            lists={"routes": None, "alarm_rules": "or_list"},
            maps={
                "bindings": MapProperty(wrapper="key_value_pair"),
                "tenants": MapProperty(key="name"),
            },
            refs={
                "network_policy": RefType(),
                "tag": RefType(attr=False),
                "virtual_network": RefType(),
            },
            indexed=("mtu", "external", "label"),
        ),
        "network_policy": ObjectType(
            parents=("project", "domain"),
            properties=("id_perms", "label"),
            refs={"network_policy": RefType(attr=False), "tag": RefType(derived=True)},
        ),
        "virtual_port": ObjectType(
            parents=("virtual_network", "project"),
            properties=("id_perms", "mac"),
            refs={"virtual_network": RefType()},
        ),
        "tag": ObjectType(
            parents=(NO_PARENT, "domain", "project"), properties=("id_perms", "perms2", "value")
        ),
        "virtual_DNS": ObjectType(parents=("domain",), properties=("id_perms",)),
        "route_target": ObjectType(properties=("id_perms",)),
        "note": ObjectType(lists={"lines": None}),
    }
)
"""Types with one, several, optional and no parents; with refs of every sort, and collections."""

WIDER_SCHEMA = Schema(
    {
        **KIT_SCHEMA.types,
        "route_target": ObjectType(
            properties=("id_perms", "weight"), refs={"virtual_network": RefType()}
        ),
        "floating_ip": ObjectType(parents=("project",), properties=("address",)),
    }
)
"""A superset of KIT_SCHEMA."""


def new_id() -> str:
    """Give an id that nobody has."""
    return str(uuid4())


def numbered_id(number: int) -> str:
    """Give ids that sort as their numbers do, and differ between calls in the last half."""
    return str(UUID(int=(number << 96) | (uuid4().int >> 32)))


class Site:
    """A domain and a project, and short ways to make objects below them."""

    def __init__(self, database: ConfigDatabase) -> None:
        self.database = database
        self.domain = new_id()
        self.project = new_id()
        self.path = ["default-domain", f"project-{self.project[:8]}"]

    async def prepare(self) -> "Site":
        """Make the domain and the project."""
        await self.database.object_create("domain", self.domain, {"fq_name": self.path[:1]})
        await self.make("project", self.project, fq_name=self.path, parent_uuid=self.domain)
        return self

    async def make(self, obj_type: str, obj_uuid: str, **content: Json) -> str:
        """Create any object."""
        await self.database.object_create(obj_type, obj_uuid, content)
        return obj_uuid

    async def network(self, name: str = "blue", obj_uuid: str | None = None, **fields: Json) -> str:
        """Create a network of the project."""
        return await self.make(
            "virtual_network", obj_uuid or new_id(), **self.below(name), **fields
        )

    async def policy(self, name: str = "allow", obj_uuid: str | None = None, **fields: Json) -> str:
        """Create a policy of the project."""
        uuid = obj_uuid or new_id()
        parent = {"parent_type": "project"}
        return await self.make("network_policy", uuid, **parent, **self.below(name), **fields)

    async def tag(self, name: str = "web", obj_uuid: str | None = None, **fields: Json) -> str:
        """Create a tag without parent."""
        return await self.make("tag", obj_uuid or new_id(), fq_name=[name], **fields)

    def below(self, name: str) -> dict[str, Json]:
        """Give the identity of a child of the project."""
        return {"fq_name": [*self.path, name]}


def refs(*uuids: str, attr: Any = None) -> list[dict[str, Json]]:
    """Give refs as they are written."""
    return [{"uuid": uuid} if attr is None else {"uuid": uuid, "attr": attr} for uuid in uuids]


def uuids_of(links: Sequence[Mapping[str, Json]] | None) -> list[str]:
    """Give the uuids of refs, back refs or children as they are read."""
    return [link["uuid"] for link in links or ()]
