"""Creating many objects at once."""

from typing import Any

import pytest

from asyncbackends.errors import (
    BackendError,
    DanglingRefError,
    FqNameTakenError,
    InvalidRequestError,
    ObjectExistsError,
    TransactionFailedError,
)
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.objects import NewObject
from asyncbackends.protocols.values import Json
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.sample import Site, new_id, refs, uuids_of

__all__ = ("CreatingManyConformance",)

NETWORK, POLICY = "virtual_network", "network_policy"


class CreatingManyConformance(DatabaseFixtures):
    """``Objects.object_create_many``."""

    async def test_results_are_in_order(self, database: ConfigDatabase, site: Site) -> None:
        ids = [new_id() for _ in range(20)]
        objects: list[NewObject] = [
            (NETWORK, uuid, {**site.below(f"n{number}"), "mtu": number})
            for number, uuid in enumerate(ids)
        ]
        results = await database.object_create_many(objects)
        read = await database.object_read(NETWORK, ids)
        assert [one["mtu"] for one in read] == [*range(20)]
        assert [(one.revision, one.last_modified) for one in read] == [
            (result.revision, result.last_modified) for result in results
        ]
        revisions = [result.revision for result in results]
        assert revisions == sorted(revisions)
        assert await database.object_create_many([]) == []

    async def test_later_ones_may_need_earlier_ones(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        project, policy, network, twin = (new_id() for _ in range(4))
        path = ["default-domain", "new"]
        made: dict[str, Json] = {"fq_name": [*path, "p"], "parent_type": "project"}
        by_name: Json = [{"to": [*path, "p"]}]
        objects: list[NewObject] = [
            ("project", project, {"fq_name": path}),
            (POLICY, policy, made),
            (NETWORK, twin, {"fq_name": [*path, "t"], "parent_uuid": project}),
            (
                NETWORK,
                network,
                {
                    "fq_name": [*path, "n"],
                    "network_policy_refs": by_name,
                    "virtual_network_refs": refs(twin),
                },
            ),
        ]
        results = await database.object_create_many(objects)
        assert results[-1].peers == (twin,)
        read = await database.object_get(NETWORK, network)
        assert uuids_of(read["network_policy_refs"]) == [policy]
        assert read["parent_uuid"] == project
        assert await database.object_count_children("project", project, NETWORK) == 2

    async def test_refusal_names_the_object(self, database: ConfigDatabase, site: Site) -> None:
        blue = await site.network("blue")
        good, absent = new_id(), new_id()
        refusals: list[tuple[type[BackendError], NewObject]] = [
            (FqNameTakenError, (NETWORK, new_id(), site.below("blue"))),
            (FqNameTakenError, (NETWORK, new_id(), site.below("good"))),
            (ObjectExistsError, (NETWORK, blue, site.below("other"))),
            (
                DanglingRefError,
                (NETWORK, new_id(), {**site.below("x"), "network_policy_refs": refs(absent)}),
            ),
            (DanglingRefError, (NETWORK, new_id(), {"fq_name": ["a", "b", "c"]})),
        ]
        for error, refused in refusals:
            objects: list[NewObject] = [
                (NETWORK, good, site.below("good")),
                refused,
                ("tag", absent, {"fq_name": ["after"]}),
            ]
            with pytest.raises(TransactionFailedError) as refusal:
                await database.object_create_many(objects)
            assert refusal.value.index == 1
            assert type(refusal.value.error) is error
            left = await database.uuids_to_fq_names([good, absent])
            assert sorted(refusal.value.created) == sorted(left)
            if Guarantee.ATOMIC_BATCH in database.guarantees:
                assert left == {}

    async def test_repeating_gives_the_first_results(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        objects: list[NewObject] = [
            (NETWORK, new_id(), site.below(f"n{number}")) for number in range(5)
        ]
        first = await database.object_create_many(objects)
        assert await database.object_create_many(objects) == first

    async def test_arguments_are_checked_before_anything_is_sent(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        good = new_id()
        wrong: list[Any] = [
            (NETWORK, new_id(), {"colour": 1}),
            ("nothing", new_id(), {"fq_name": ["a"]}),
            (NETWORK, "no uuid", {"fq_name": ["a"]}),
        ]
        for one in wrong:
            with pytest.raises((InvalidRequestError, TransactionFailedError)):
                await database.object_create_many([(NETWORK, good, site.below("good")), one])
            assert await database.uuids_to_fq_names([good]) == {}
