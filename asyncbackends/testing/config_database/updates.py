"""Changing an object: what is touched, what cannot change, and against which revision."""

import copy
from typing import Any

import pytest

from asyncbackends.errors import (
    DanglingRefError,
    InvalidRequestError,
    ObjectNotFoundError,
    RevisionConflictError,
)
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import Json
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.sample import Site, new_id, refs
from asyncbackends.testing.harness import Harness

__all__ = ("UpdatesConformance",)


class UpdatesConformance(DatabaseFixtures):
    """``Objects.object_update``."""

    async def test_absent_is_untouched_and_none_removes(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(mtu=1500, label="a", settings={"x": 1}, routes=["r"])
        await database.object_update("virtual_network", uuid, {"mtu": 9000, "label": None})
        read = await database.object_get("virtual_network", uuid)
        assert "label" not in read
        assert (read["mtu"], read["settings"], read["routes"]) == (9000, {"x": 1}, ["r"])

    async def test_structured_property_is_replaced_whole(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(settings={"a": 1, "b": {"c": 2}})
        await database.object_update("virtual_network", uuid, {"settings": {"b": {}}})
        assert (await database.object_get("virtual_network", uuid))["settings"] == {"b": {}}

    async def test_collection_is_replaced_whole(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network(
            routes=[f"r{number}" for number in range(12)],
            alarm_rules={"or_list": [1, 2]},
            bindings={"key_value_pair": [{"key": "a"}, {"key": "b"}]},
        )
        update: dict[str, Json] = {
            "routes": ["x", "y"],
            "bindings": {"key_value_pair": [{"key": "b", "v": 1}, {"key": "c"}]},
        }
        await database.object_update("virtual_network", uuid, update)
        fields = ["routes", "bindings", "alarm_rules"]
        assert await database.prop_collection_read("virtual_network", uuid, fields) == {
            "routes": [("x", "0"), ("y", "1")],
            "bindings": [({"key": "b", "v": 1}, "b"), ({"key": "c"}, "c")],
            "alarm_rules": [(1, "0"), (2, "1")],
        }

    @pytest.mark.parametrize(
        ("field", "empty"),
        [
            ("routes", []),
            ("routes", None),
            ("alarm_rules", {"or_list": []}),
            ("alarm_rules", {}),
            ("alarm_rules", None),
            ("bindings", {"key_value_pair": []}),
            ("bindings", {}),
            ("tenants", []),
        ],
    )
    async def test_empty_collection_removes_it(
        self, database: ConfigDatabase, site: Site, field: str, empty: Any
    ) -> None:
        uuid = await site.network(
            mtu=1,
            routes=["r"],
            alarm_rules={"or_list": [1]},
            bindings={"key_value_pair": [{"key": "a"}]},
            tenants=[{"name": "t"}],
        )
        await database.object_update("virtual_network", uuid, {field: empty})
        read = await database.object_get("virtual_network", uuid)
        assert {"routes", "alarm_rules", "bindings", "tenants"} - set(read) == {field}

    async def test_every_update_moves_the_revision(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(mtu=1)
        seen = [await database.object_get("virtual_network", uuid)]
        updates: list[dict[str, Json]] = [{}, {"mtu": 1}, {"label": None}, {"routes": []}]
        for update in updates:
            result = await database.object_update("virtual_network", uuid, update)
            read = await database.object_get("virtual_network", uuid)
            assert read.revision == result.revision > seen[-1].revision
            assert read.last_modified == result.last_modified >= seen[-1].last_modified
            assert read == seen[0]
            seen.append(read)

    async def test_identity_may_be_repeated(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network(mtu=1)
        read = await database.object_get("virtual_network", uuid)
        await database.object_update("virtual_network", uuid, {**read, "mtu": 2})
        assert (await database.object_get("virtual_network", uuid))["mtu"] == 2
        tag = await site.tag()
        update = {"parent_type": "config_root", "fq_name": ["web"], "value": "x"}
        await database.object_update("tag", tag, update)

    async def test_identity_cannot_be_altered(self, database: ConfigDatabase, site: Site) -> None:
        uuid, other = await site.network(mtu=1), new_id()
        await site.make("project", other, fq_name=["default-domain", "other"])
        altered: list[dict[str, Json]] = [
            {"uuid": other},
            {"fq_name": [*site.path, "red"]},
            {"fq_name": []},
            {"parent_type": "domain"},
            {"parent_uuid": other},
        ]
        for identity in altered:
            with pytest.raises(InvalidRequestError):
                await database.object_update("virtual_network", uuid, {**identity, "mtu": 2})
        assert (await database.object_get("virtual_network", uuid))["mtu"] == 1

    @pytest.mark.parametrize(
        "content",
        [
            {"colour": 1},
            {"virtual_ports": []},
            {"virtual_port_back_refs": []},
            {"routes": 5},
            {"alarm_rules": [1]},
            {"alarm_rules": {"or_list": 1}},
            {"tenants": [{"key": 1}]},
            {"label": ["indexed"]},
            {"tag_refs": 5},
        ],
        ids=str,
    )
    async def test_update_against_the_schema_is_refused(
        self, database: ConfigDatabase, site: Site, content: dict[str, Json]
    ) -> None:
        uuid = await site.network(mtu=1)
        before = await database.current_revision()
        with pytest.raises(InvalidRequestError):
            await database.object_update("virtual_network", uuid, {"mtu": 2, **content})
        assert await database.current_revision() == before
        assert (await database.object_get("virtual_network", uuid))["mtu"] == 1

    async def test_update_of_nothing(self, database: ConfigDatabase, site: Site) -> None:
        policy = await site.policy()
        for uuid in (new_id(), policy):
            with pytest.raises(ObjectNotFoundError):
                await database.object_update("virtual_network", uuid, {"mtu": 1})
            with pytest.raises(ObjectNotFoundError):
                await database.object_update(
                    "virtual_network", uuid, {"mtu": 1}, expected_revision=1
                )

    async def test_update_at_expected_revision(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network(mtu=1)
        first = await database.object_get("virtual_network", uuid)
        second = await database.object_update(
            "virtual_network", uuid, {"mtu": 2}, expected_revision=first.revision
        )
        with pytest.raises(RevisionConflictError) as refusal:
            await database.object_update(
                "virtual_network", uuid, {"mtu": 3}, expected_revision=first.revision
            )
        assert (refusal.value.expected, refusal.value.actual) == (first.revision, second.revision)
        read = await database.object_get("virtual_network", uuid)
        assert (read["mtu"], read.revision) == (2, second.revision)

    @pytest.mark.parametrize("wrong", [-1, "1", 1.0, True])
    async def test_expected_revision_is_an_int(
        self, database: ConfigDatabase, site: Site, wrong: Any
    ) -> None:
        uuid = await site.network()
        with pytest.raises(InvalidRequestError):
            await database.object_update("virtual_network", uuid, {}, expected_revision=wrong)

    async def test_revision_is_compared_before_refs_and_identity(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network()
        before = await database.current_revision()
        refused: list[dict[str, Json]] = [
            {"network_policy_refs": refs(new_id())},
            {"fq_name": [*site.path, "red"]},
        ]
        for update in refused:
            with pytest.raises(RevisionConflictError):
                await database.object_update(
                    "virtual_network", uuid, update, expected_revision=before + 1000
                )

    async def test_one_of_several_conditional_writers_wins(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        uuid = await site.network(mtu=0)
        for _ in range(10):
            start = await database.object_get("virtual_network", uuid)
            outcomes = await harness.outcomes(
                *(
                    client.object_update(
                        "virtual_network", uuid, {"mtu": number}, expected_revision=start.revision
                    )
                    for number, client in enumerate([database, other] * 4)
                )
            )
            winners = [number for number, (result, _) in enumerate(outcomes) if result is not None]
            assert len(winners) == 1
            errors = {type(error) for _, error in outcomes if error is not None}
            assert errors == {RevisionConflictError}
            read = await database.object_get("virtual_network", uuid)
            assert read["mtu"] == winners[0]

    async def test_update_is_left_alone_and_not_kept(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(id_perms={"created": "then"})
        update: dict[str, Json] = {
            "id_perms": {"enable": True},
            "routes": [{"p": 1}],
            "tag_refs": refs(await site.tag()),
        }
        asked = copy.deepcopy(update)
        await database.object_update("virtual_network", uuid, update)
        assert update == asked
        update["id_perms"]["enable"] = False
        update["routes"][0]["p"] = 2
        read = await database.object_get("virtual_network", uuid)
        assert (read["id_perms"], read["routes"]) == ({"enable": True}, [{"p": 1}])

    async def test_refused_update_changes_nothing(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        twin = await site.network("twin")
        uuid = await site.network(
            mtu=1, label="a", routes=["r"], tenants=[{"name": "t"}], virtual_network_refs=refs(twin)
        )
        before = await database.object_read("virtual_network", [uuid, twin])
        revision = await database.current_revision()
        update: dict[str, Json] = {
            "mtu": 2,
            "label": None,
            "routes": ["s"],
            "tenants": [],
            "virtual_network_refs": [],
            "network_policy_refs": refs(new_id()),
        }
        with pytest.raises(DanglingRefError):
            await database.object_update("virtual_network", uuid, update)
        assert await database.object_read("virtual_network", [uuid, twin]) == before
        assert await database.current_revision() == revision
        assert (await database.object_list("virtual_network", filters={"label": ["a"]})).items
