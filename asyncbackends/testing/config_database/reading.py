"""Reading objects: which fields, in which order, of which are not there."""

import pytest

from asyncbackends.errors import InvalidRequestError, ObjectNotFoundError
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import ALL_FIELDS, ConfigObject
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.sample import (
    Site,
    new_id,
    numbered_id,
    refs,
    uuids_of,
)

__all__ = ("ReadingConformance",)

IDENTITY = {"uuid", "fq_name", "parent_type", "parent_uuid"}


class ReadingConformance(DatabaseFixtures):
    """``Objects.object_get``, ``object_read`` and ``object_raw_read``."""

    async def test_get_without_names_gives_properties_and_refs(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        policy = await site.policy()
        uuid = await site.network(mtu=1500, routes=["r"], network_policy_refs=refs(policy))
        port = {"parent_type": "virtual_network", "parent_uuid": uuid}
        await site.make("virtual_port", new_id(), fq_name=["p"], **port)
        await site.make(
            "virtual_port",
            new_id(),
            fq_name=["q"],
            parent_type="project",
            parent_uuid=site.project,
            virtual_network_refs=refs(uuid),
        )
        read = await database.object_get("virtual_network", uuid)
        assert set(read) == IDENTITY | {"mtu", "routes", "network_policy_refs"}

    async def test_get_all_fields_gives_back_refs_and_children(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(mtu=1500)
        child = await site.make(
            "virtual_port",
            new_id(),
            fq_name=["p", "child"],
            parent_type="virtual_network",
            parent_uuid=uuid,
        )
        holder = await site.make(
            "virtual_port",
            new_id(),
            fq_name=["p", "holder"],
            parent_type="project",
            parent_uuid=site.project,
            virtual_network_refs=refs(uuid, attr={"vlan": 5}),
        )
        assert await database.object_get("virtual_network", uuid, ALL_FIELDS) == {
            **site.below("blue"),
            "uuid": uuid,
            "parent_type": "project",
            "parent_uuid": site.project,
            "mtu": 1500,
            "virtual_ports": [{"to": ["p", "child"], "uuid": child}],
            "virtual_port_back_refs": [
                {"to": ["p", "holder"], "uuid": holder, "attr": {"vlan": 5}}
            ],
        }

    async def test_get_names_chooses_fields(self, database: ConfigDatabase, site: Site) -> None:
        policy = await site.policy()
        uuid = await site.network(
            mtu=1500, label="x", routes=["r"], network_policy_refs=refs(policy)
        )
        fields = ["mtu", "routes", "external", "virtual_ports"]
        read = await database.object_get("virtual_network", uuid, fields)
        assert set(read) == IDENTITY | {"mtu", "routes"}
        assert set(await database.object_get("virtual_network", uuid, [])) == IDENTITY
        (back_ref,) = (
            await database.object_get("network_policy", policy, ["virtual_network_back_refs"])
        )["virtual_network_back_refs"]
        assert back_ref == {"to": [*site.path, "blue"], "uuid": uuid, "attr": None}
        children = await database.object_get("project", site.project, ["virtual_networks"])
        assert children["virtual_networks"] == [{"to": [*site.path, "blue"], "uuid": uuid}]
        assert "network_policys" not in children

    async def test_names_are_checked(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network()
        with pytest.raises(InvalidRequestError, match="mtu"):
            await database.object_get("virtual_network", uuid, ["mtuu"])
        with pytest.raises(InvalidRequestError):
            await database.object_get("virtual_network", uuid, "mtu")
        with pytest.raises(InvalidRequestError):
            await database.object_read("virtual_network", [uuid], ["floating_ip_refs"])

    async def test_links_are_ordered_by_uuid(self, database: ConfigDatabase, site: Site) -> None:
        order = [5, 2, 9, 1, 7]
        ids = [numbered_id(number) for number in order]
        for number, uuid in zip(order, ids, strict=True):
            await site.policy(f"policy-{number}", uuid)
        network = await site.network(network_policy_refs=refs(*ids))
        for number in order:
            await site.make(
                "virtual_port",
                numbered_id(number),
                fq_name=[f"port-{number}"],
                parent_type="project",
                parent_uuid=site.project,
                virtual_network_refs=refs(network),
            )
        read = await database.object_get("virtual_network", network, ALL_FIELDS)
        assert uuids_of(read["network_policy_refs"]) == sorted(ids)
        names = [ref["to"] for ref in read["virtual_port_back_refs"]]
        assert names == [[f"port-{number}"] for number in sorted(order)]
        project = await database.object_get("project", site.project, ["network_policys"])
        assert uuids_of(project["network_policys"]) == sorted(ids)

    async def test_absent_links_are_absent_keys(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network()
        assert set(await database.object_get("virtual_network", uuid, ALL_FIELDS)) == IDENTITY

    async def test_get_of_nothing(self, database: ConfigDatabase, site: Site) -> None:
        network = await site.network()
        for obj_type, uuid in (("virtual_network", new_id()), ("network_policy", network)):
            with pytest.raises(ObjectNotFoundError, match=uuid):
                await database.object_get(obj_type, uuid)

    async def test_what_is_read_belongs_to_the_caller(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(settings={"a": [1]}, routes=[{"x": 1}])
        read = await database.object_get("virtual_network", uuid)
        assert isinstance(read, ConfigObject)
        read["settings"]["a"].append(2)
        read["routes"][0]["x"] = 2
        read["mtu"] = 9000
        again = await database.object_get("virtual_network", uuid)
        assert again == {
            "uuid": uuid,
            **site.below("blue"),
            "parent_type": "project",
            "parent_uuid": site.project,
            "settings": {"a": [1]},
            "routes": [{"x": 1}],
        }

    async def test_read_keeps_the_order_of_the_request(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        ids = [await site.network(f"n{number}") for number in range(8)]
        asked = [*reversed(ids), ids[3], ids[3]]
        read = await database.object_read("virtual_network", asked)
        assert [one["uuid"] for one in read] == asked
        assert read[-1].revision == read[-2].revision
        assert await database.object_read("virtual_network", []) == []

    async def test_read_takes_fields_as_get(self, database: ConfigDatabase, site: Site) -> None:
        network = await site.network(mtu=1500, label="x")
        read = await database.object_read("virtual_network", [network], ["mtu"])
        assert set(read[0]) == IDENTITY | {"mtu"}
        (project,) = await database.object_read("project", [site.project], ALL_FIELDS)
        assert uuids_of(project["virtual_networks"]) == [network]

    async def test_read_of_what_is_missing(self, database: ConfigDatabase, site: Site) -> None:
        blue, red, absent = await site.network("blue"), await site.network("red"), new_id()
        policy = await site.policy()
        asked = [red, absent, blue, policy]
        for missing in ([absent], [policy], asked):
            with pytest.raises(ObjectNotFoundError):
                await database.object_read("virtual_network", missing)
        found = await database.object_read("virtual_network", asked, missing="skip")
        assert [one["uuid"] for one in found] == [red, blue]
        assert await database.object_read("virtual_network", [absent], missing="skip") == []

    async def test_error_names_what_is_missing(self, database: ConfigDatabase, site: Site) -> None:
        blue, absent = await site.network("blue"), new_id()
        with pytest.raises(ObjectNotFoundError, match=absent) as refusal:
            await database.object_read("virtual_network", [blue, absent])
        assert blue not in str(refusal.value)
        assert isinstance(refusal.value, LookupError)

    async def test_raw_read_gives_properties_alone(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        blue = await site.network("blue", mtu=1500, label="x", routes=["r"])
        red = await site.network("red")
        asked = [red, new_id(), blue, await site.policy()]
        read = await database.object_raw_read("virtual_network", asked, ["mtu", "settings"])
        assert read == [{"uuid": red}, {"uuid": blue, "mtu": 1500}]
        assert read[1].revision == (await database.object_get("virtual_network", blue)).revision

    @pytest.mark.parametrize("name", ["routes", "tenants", "fq_name", "virtual_ports", "nothing"])
    async def test_raw_read_takes_properties_alone(
        self, database: ConfigDatabase, site: Site, name: str
    ) -> None:
        uuid = await site.network()
        with pytest.raises(InvalidRequestError):
            await database.object_raw_read("virtual_network", [uuid], [name])

    async def test_times_and_revision_of_what_is_read(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network()
        created = await database.object_get("virtual_network", uuid)
        result = await database.object_update("virtual_network", uuid, {"mtu": 1})
        read = await database.object_get("virtual_network", uuid)
        assert read.created == created.created
        assert (read.revision, read.last_modified) == (result.revision, result.last_modified)
        assert read.created.utcoffset() is not None
        (listed,) = await database.object_list("virtual_network", field_names=["mtu"])
        assert (listed.revision, listed.created) == (read.revision, read.created)

    async def test_child_and_back_ref_do_not_move_the_revision(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        policy = await site.policy()
        project = await database.object_get("project", site.project)
        before = await database.object_get("network_policy", policy)
        network = await site.network(network_policy_refs=refs(policy))
        await database.object_delete("virtual_network", network)
        assert (await database.object_get("network_policy", policy)).revision == before.revision
        assert (await database.object_get("project", site.project)).revision == project.revision
