"""Creating one object: identity, parent, what is refused, and creating again."""

import copy
from typing import Any
from uuid import UUID, uuid4

import pytest

from asyncbackends.errors import (
    DanglingRefError,
    FqNameTakenError,
    InvalidRequestError,
    ObjectExistsError,
    ObjectNotFoundError,
)
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import Json
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.sample import Site, new_id, refs
from asyncbackends.testing.config_database.watching import distinct_changes
from asyncbackends.testing.harness import Harness

__all__ = ("CreationConformance",)

BAD_NAMES: dict[str, Any] = {
    "absent": None,
    "empty": [],
    "text": "default-domain:p:n",
    "empty-part": ["default-domain", ""],
    "number": ["default-domain", 7],
    "nul": ["default-domain", "a\0b"],
    "surrogate": ["default-domain", "\ud800"],
    "33-parts": ["x"] * 33,
    "long": ["x" * 1024],
}

BAD_CONTENTS: list[dict[str, Json]] = [
    {"colour": "red"},
    {"virtual_port_back_refs": []},
    {"virtual_ports": []},
    {"domain_refs": []},
    {"routes": {"or_list": []}},
    {"routes": "10.0.0.0/8"},
    {"alarm_rules": [1]},
    {"alarm_rules": {"and_list": []}},
    {"tenants": [{"key": "no name"}]},
    {"tenants": ["t1"]},
    {"tenants": [{"name": "t1"}, {"name": "t1"}]},
    {"mtu": {"indexed": "takes scalars"}},
    {"network_policy_refs": {}},
    {"network_policy_refs": [{}]},
    {"network_policy_refs": [{"attr": 1}]},
    {"network_policy_refs": ["text"]},
    {"network_policy_refs": [{"uuid": "no uuid"}]},
    {"network_policy_refs": [{"to": ["a"], "href": "http://"}]},
    {"parent_type": "domain"},
    {"parent_type": "no_type"},
]


class CreationConformance(DatabaseFixtures):
    """``Objects.object_create``."""

    async def test_created_object_reads_back(self, database: ConfigDatabase, site: Site) -> None:
        policy = await site.policy()
        content: dict[str, Json] = {
            **site.below("blue"),
            "mtu": 1500,
            "external": False,
            "settings": {"rpf": True, "vni": [1, 2]},
            "routes": ["10.0.0.0/8", {"prefix": "::/0"}],
            "alarm_rules": {"or_list": [{"severity": 1}]},
            "bindings": {"key_value_pair": [{"key": "b", "value": 2}, {"key": "a", "value": 1}]},
            "tenants": [{"name": "t1"}],
            "network_policy_refs": refs(policy, attr={"sequence": 1}),
        }
        uuid = new_id()
        await database.object_create("virtual_network", uuid, content)
        assert await database.object_get("virtual_network", uuid) == {
            **content,
            "uuid": uuid,
            "parent_type": "project",
            "parent_uuid": site.project,
            "bindings": {"key_value_pair": [{"key": "a", "value": 1}, {"key": "b", "value": 2}]},
            "network_policy_refs": [
                {"to": [*site.path, "allow"], "uuid": policy, "attr": {"sequence": 1}}
            ],
        }

    async def test_result_tells_revision_and_time(
        self, database: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        before, started = await database.current_revision(), harness.now()
        uuid = new_id()
        result = await database.object_create("virtual_network", uuid, site.below("blue"))
        read = await database.object_get("virtual_network", uuid)
        assert result.revision > before
        assert result.peers == ()
        assert (read.revision, read.last_modified) == (result.revision, result.last_modified)
        assert read.created == read.last_modified
        assert result.last_modified.utcoffset() is not None
        # A server may have a clock of its own.
        assert abs((result.last_modified - started).total_seconds()) < 60

    async def test_id_may_be_a_uuid_or_text_of_any_form(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        first, second, third = uuid4(), uuid4(), uuid4()
        await database.object_create("tag", first, {"fq_name": ["a"], "uuid": first})
        await database.object_create("tag", str(second).upper(), {"fq_name": ["b"]})
        await database.object_create("tag", third.hex, {"fq_name": ["c"]})
        for uuid, name in ((first, "a"), (second, "b"), (third, "c")):
            read = await database.object_get("tag", uuid.hex)
            assert (read["uuid"], read["fq_name"]) == (str(uuid), [name])

    @pytest.mark.parametrize("wrong", ["", "no-uuid", "1234", 5, None])
    async def test_malformed_id_is_refused(self, database: ConfigDatabase, wrong: Any) -> None:
        with pytest.raises(InvalidRequestError):
            await database.object_create("tag", wrong, {"fq_name": ["a"]})

    async def test_uuid_in_the_dict_must_be_the_id(self, database: ConfigDatabase) -> None:
        with pytest.raises(InvalidRequestError):
            await database.object_create("tag", new_id(), {"fq_name": ["a"], "uuid": new_id()})

    async def test_unknown_type_is_refused_with_the_nearest(self, database: ConfigDatabase) -> None:
        with pytest.raises(InvalidRequestError, match="virtual_network"):
            await database.object_create("virtual-network", new_id(), {"fq_name": ["a"]})

    @pytest.mark.parametrize("name", list(BAD_NAMES))
    async def test_bad_name_is_refused(self, database: ConfigDatabase, name: str) -> None:
        uuid = new_id()
        content: dict[str, Json] = {} if BAD_NAMES[name] is None else {"fq_name": BAD_NAMES[name]}
        with pytest.raises(InvalidRequestError):
            await database.object_create("tag", uuid, content)
        with pytest.raises(ObjectNotFoundError):
            await database.uuid_to_obj_type(uuid)

    @pytest.mark.parametrize(
        "fq_name",
        [["target:64512:1"], ["a:b", "c"], ["ü", "名", "😀"], [" ", "\n", '"', "\\"], ["x"] * 32],
    )
    async def test_name_takes_any_character(
        self, database: ConfigDatabase, fq_name: list[str]
    ) -> None:
        uuid = new_id()
        await database.object_create("route_target", uuid, {"fq_name": fq_name})
        assert (await database.object_get("route_target", uuid))["fq_name"] == fq_name
        assert await database.fq_name_to_uuid("route_target", fq_name) == uuid

    @pytest.mark.parametrize("content", BAD_CONTENTS, ids=str)
    async def test_create_against_the_schema_is_refused(
        self, database: ConfigDatabase, site: Site, content: dict[str, Json]
    ) -> None:
        before, uuid = await database.current_revision(), new_id()
        with pytest.raises(InvalidRequestError):
            await database.object_create("virtual_network", uuid, {**site.below("x"), **content})
        assert await database.current_revision() == before
        assert await database.uuids_to_fq_names([uuid]) == {}

    async def test_object_that_is_no_dict_is_refused(self, database: ConfigDatabase) -> None:
        wrong: Any = [("fq_name", "a")]
        with pytest.raises(InvalidRequestError):
            await database.object_create("tag", new_id(), wrong)

    async def test_none_and_empty_collections_are_absent(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(
            mtu=None,
            routes=[],
            alarm_rules={"or_list": []},
            tenants=None,
            bindings={},
            network_policy_refs=[],
            tag_refs=None,
        )
        read = await database.object_get("virtual_network", uuid)
        assert set(read) == {"uuid", "fq_name", "parent_type", "parent_uuid"}

    async def test_parent_is_found_by_name(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.make("virtual_port", new_id(), **site.below("p"), parent_type="project")
        read = await database.object_get("virtual_port", uuid)
        assert (read["parent_type"], read["parent_uuid"]) == ("project", site.project)

    async def test_parent_by_uuid_need_not_share_the_name(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.make("virtual_network", new_id(), fq_name=["x"], parent_uuid=site.project)
        assert (await database.object_get("virtual_network", uuid))["parent_uuid"] == site.project

    async def test_parent_type_is_needed_among_several(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        with pytest.raises(InvalidRequestError, match="virtual_network, project"):
            await database.object_create("virtual_port", new_id(), site.below("p"))

    async def test_one_part_name_does_not_name_a_parent(self, database: ConfigDatabase) -> None:
        with pytest.raises(InvalidRequestError, match="parent_uuid"):
            await database.object_create("project", new_id(), {"fq_name": ["p"]})

    async def test_missing_parent_is_refused(self, database: ConfigDatabase, site: Site) -> None:
        network = await site.network()
        absent: list[dict[str, Json]] = [
            {"fq_name": [*site.path, "p"], "parent_type": "project", "parent_uuid": new_id()},
            {"fq_name": [*site.path, "p"], "parent_type": "project", "parent_uuid": network},
            {"fq_name": ["nobody", "p"], "parent_type": "project"},
        ]
        for content in absent:
            with pytest.raises(DanglingRefError):
                await database.object_create("virtual_port", new_id(), content)
        assert await database.object_list("virtual_port", count=True) == 0

    @pytest.mark.parametrize("parent_type", [None, "config_root"])
    async def test_optional_parent_may_be_missing(
        self, database: ConfigDatabase, parent_type: str | None
    ) -> None:
        content = {"fq_name": ["a", "b"], "parent_type": parent_type}
        await database.object_create("tag", uuid := new_id(), content)
        assert await database.object_get("tag", uuid) == {"uuid": uuid, "fq_name": ["a", "b"]}

    async def test_type_without_parents_takes_none(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        content = {"fq_name": ["target:1"], "parent_uuid": site.project}
        with pytest.raises(InvalidRequestError):
            await database.object_create("route_target", new_id(), content)

    async def test_type_without_declared_properties_takes_any(
        self, database: ConfigDatabase
    ) -> None:
        content: dict[str, Json] = {"fq_name": ["n"], "Any name!": {"x": 1}, "lines": ["a"]}
        await database.object_create("note", uuid := new_id(), content)
        assert await database.object_get("note", uuid) == {"uuid": uuid, **content}

    async def test_name_is_unique_within_a_type(self, database: ConfigDatabase, site: Site) -> None:
        holder = await site.network("blue")
        with pytest.raises(FqNameTakenError) as refusal:
            await database.object_create("virtual_network", new_id(), site.below("blue"))
        assert refusal.value.holder == holder
        await site.policy("blue")
        assert await database.object_list("virtual_network", count=True) == 1

    async def test_taken_id_is_refused(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network("blue", mtu=1500, weight=1)
        before = await database.object_get("virtual_network", uuid)
        others: list[tuple[str, dict[str, Json]]] = [
            ("virtual_network", {**site.below("blue"), "mtu": 9000, "weight": 1}),
            ("virtual_network", site.below("blue")),
            ("virtual_network", {**site.below("red"), "mtu": 1500, "weight": 1}),
            ("virtual_network", {**site.below("blue"), "mtu": 1500, "weight": 1, "routes": ["x"]}),
            # A boolean is no number.
            ("virtual_network", {**site.below("blue"), "mtu": 1500, "weight": True}),
            ("network_policy", {**site.below("blue"), "parent_type": "project"}),
        ]
        for obj_type, content in others:
            with pytest.raises(ObjectExistsError):
                await database.object_create(obj_type, uuid, content)
        read = await database.object_get("virtual_network", uuid)
        assert (read, read.revision) == (before, before.revision)
        assert await database.fq_names_to_uuids("virtual_network", [[*site.path, "red"]]) == {}

    async def test_taken_id_is_found_before_the_taken_name(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        await site.network("blue")
        red = await site.network("red")
        with pytest.raises(ObjectExistsError):
            await database.object_create("virtual_network", red, site.below("blue"))

    async def test_creating_again_gives_the_first_result(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        policy, twin, uuid = await site.policy(), await site.network("twin"), new_id()
        content: dict[str, Json] = {
            **site.below("blue"),
            "mtu": 1500,
            "settings": {"a": 1, "b": [True, None]},
            "routes": ["r1", "r2"],
            "tenants": [{"name": "t1"}, {"name": "t2"}],
            "network_policy_refs": refs(policy, attr={"x": 1}),
            "virtual_network_refs": refs(twin),
        }
        first = await database.object_create("virtual_network", uuid, content)
        peer = await database.object_get("virtual_network", twin)
        again: dict[str, Json] = {
            **content,
            "parent_type": "project",
            "parent_uuid": UUID(site.project),
            "mtu": 1500.0,
            "settings": {"b": [True, None], "a": 1},
            "tenants": [{"name": "t2"}, {"name": "t1"}],
            "network_policy_refs": [{"to": [*site.path, "allow"], "attr": {"x": 1}}],
            "external": None,
        }
        assert await database.object_create("virtual_network", uuid, again) == first
        assert first.peers == (twin,)
        assert (await database.object_get("virtual_network", uuid)).revision == first.revision
        assert (await database.object_get("virtual_network", twin)).revision == peer.revision

    async def test_creating_again_writes_nothing(
        self, database: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        uuid = await site.network("blue")
        async with database.watch(since=await database.current_revision()) as changes:
            before = await database.current_revision()
            await site.network("blue", uuid)
            assert await database.current_revision() == before
            red = await site.network("red")
            (change,) = await distinct_changes(database, harness, changes, 1)
        assert change.uuid == red

    async def test_creating_again_after_a_change_is_refused(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network("blue", mtu=1500)
        await database.object_update("virtual_network", uuid, {"mtu": 9000})
        with pytest.raises(ObjectExistsError):
            await site.network("blue", uuid, mtu=1500)
        await database.object_update("virtual_network", uuid, {"mtu": 1500})
        await site.network("blue", uuid, mtu=1500)

    async def test_created_dict_is_left_alone_and_not_kept(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        content: dict[str, Json] = {
            **site.below("blue"),
            "id_perms": {"enable": True},
            "routes": [{"prefix": "a"}],
            "tenants": [{"name": "t1"}],
            "virtual_network_refs": refs(await site.network("twin"), attr={"a": [1]}),
        }
        asked = copy.deepcopy(content)
        await database.object_create("virtual_network", uuid := new_id(), content)
        assert content == asked
        content["id_perms"]["enable"] = False
        content["routes"][0]["prefix"] = "b"
        read = await database.object_get("virtual_network", uuid)
        assert read["id_perms"] == {"enable": True}
        assert read["routes"] == [{"prefix": "a"}]

    async def test_refused_create_leaves_nothing(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        twin, uuid = await site.network("twin"), new_id()
        before = await database.current_revision()
        content = {
            **site.below("blue"),
            "routes": ["r"],
            "virtual_network_refs": refs(twin),
            "network_policy_refs": refs(new_id()),
        }
        with pytest.raises(DanglingRefError):
            await database.object_create("virtual_network", uuid, content)
        assert await database.current_revision() == before
        assert await database.uuids_to_fq_names([uuid]) == {}
        assert "virtual_network_refs" not in await database.object_get("virtual_network", twin)
        await site.network("blue", uuid)
        read = await database.object_get("virtual_network", uuid)
        assert {"routes", "virtual_network_refs"} & set(read) == set()
