"""Several writes as one."""

from collections.abc import Callable
from typing import Any

import pytest

from asyncbackends.batch import Batch, Queued
from asyncbackends.errors import (
    BackendError,
    DanglingRefError,
    FqNameTakenError,
    InvalidRequestError,
    NotSupportedError,
    ObjectNotFoundError,
    RevisionConflictError,
    TransactionFailedError,
    UseragentKeyNotFoundError,
)
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.values import CollectionUpdate, Json, WriteResult
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.sample import Site, new_id, refs, uuids_of
from asyncbackends.testing.config_database.watching import distinct_changes
from asyncbackends.testing.harness import Harness

__all__ = (
    "BatchConformance",
    "refuses_second_object",
)

NETWORK, POLICY = "virtual_network", "network_policy"


async def refuses_second_object(database: ConfigDatabase, site: Site) -> bool:
    """Say whether there is no ATOMIC_BATCH; then nobody gets a weaker unit unasked."""
    if Guarantee.ATOMIC_BATCH in database.guarantees:
        return False
    before = await database.current_revision()
    with pytest.raises(NotSupportedError) as refusal:
        async with database.batch() as batch:
            batch.object_create("tag", new_id(), {"fq_name": ["first"]})
            batch.object_create("tag", new_id(), {"fq_name": ["second"]})
    assert refusal.value.feature == "atomic_batch"
    assert await database.current_revision() == before
    return True


class BatchConformance(DatabaseFixtures):
    """``Batches``."""

    async def test_writes_of_one_object(
        self, database: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        policy, uuid = await site.policy(), new_id()
        async with database.batch() as batch:
            created = batch.object_create(NETWORK, uuid, {**site.below("blue"), "routes": ["a"]})
            updated = batch.object_update(NETWORK, uuid, {"mtu": 1500})
            step = CollectionUpdate("routes", "add", "b")
            added = batch.prop_collection_update(NETWORK, uuid, [step])
            batch.ref_update(NETWORK, uuid, POLICY, policy, {"attr": 1}, "ADD")
            batch.create_ref(NETWORK, uuid, POLICY, policy, {"attr": 2})
            batch.set_shared(NETWORK, uuid, "p", "tenant", 5)
            with pytest.raises(InvalidRequestError):
                assert created.result
        read = await database.object_get(NETWORK, uuid)
        assert (read["mtu"], read["routes"]) == (1500, ["a", "b"])
        assert read["network_policy_refs"][0]["attr"] == 2
        assert await database.get_shared(NETWORK, "p", "tenant") == [(uuid, 5)]
        assert created.result.revision <= updated.result.revision <= added.result.revision
        assert read.revision >= added.result.revision
        async with database.batch() as batch:
            relaxed = batch.ref_relax_for_delete(uuid, policy)
            batch.del_shared(NETWORK, uuid, "p", "tenant")
        assert relaxed.result is None
        assert await database.get_relaxed_refs(policy) == [uuid]
        assert await database.get_shared(NETWORK, "p", "tenant") == []
        async with database.batch() as batch:
            batch.delete_ref(NETWORK, uuid, POLICY, policy)
            deleted = batch.object_delete(NETWORK, uuid)
        assert deleted.result.revision > read.revision
        assert await database.uuids_to_fq_names([uuid]) == {}

    async def test_writes_of_several_objects(self, database: ConfigDatabase, site: Site) -> None:
        if await refuses_second_object(database, site):
            return
        project, network, policy = new_id(), new_id(), new_id()
        path = ["default-domain", "new"]
        async with database.batch() as batch:
            batch.object_create("project", project, {"fq_name": path})
            made: dict[str, Json] = {"fq_name": [*path, "p"], "parent_type": "project"}
            batch.object_create(POLICY, policy, made)
            ref = {"network_policy_refs": [{"to": [*path, "p"]}]}
            queued = batch.object_create(NETWORK, network, {"fq_name": [*path, "n"], **ref})
            batch.object_update("project", project, {"display_name": "made at once"})
            batch.kv_put("t", "k", {"a": 1})
            batch.useragent_kv_store("u", "v")
        assert uuids_of((await database.object_get(NETWORK, network))["network_policy_refs"]) == [
            policy
        ]
        assert queued.result.last_modified is not None
        assert await database.kv_get("t", "k") == {"a": 1}
        assert await database.useragent_kv_retrieve("u") == "v"
        async with database.batch() as batch:
            batch.object_delete(NETWORK, network)
            batch.object_delete(POLICY, policy)
            batch.object_delete("project", project)
            replaced = batch.kv_replace(
                "t", "k", {"b": 1}, expected_revision=queued.result.revision + 2
            )
            batch.kv_delete("t", "k", ["c"])
            batch.useragent_kv_delete("u")
        assert replaced.result.revision > queued.result.revision
        assert await database.kv_get("t", "k") == {"b": 1}
        assert await database.object_list("virtual_network", count=True) == 0
        with pytest.raises(UseragentKeyNotFoundError):
            await database.useragent_kv_retrieve("u")

    async def test_refusal_names_the_write_and_applies_nothing(
        self, database: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        if await refuses_second_object(database, site):
            return
        blue, red = await site.network("blue", routes=["r"]), await site.network("red")
        before = await database.object_read(NETWORK, [blue, red])
        refusals: list[tuple[type[BackendError], Callable[[Batch], Queued[Any]]]] = [
            (ObjectNotFoundError, lambda batch: batch.object_update(NETWORK, new_id(), {})),
            (FqNameTakenError, lambda b: b.object_create(NETWORK, new_id(), site.below("red"))),
            (DanglingRefError, lambda b: b.create_ref(NETWORK, red, POLICY, new_id())),
            (
                RevisionConflictError,
                lambda batch: batch.object_update(NETWORK, red, {}, expected_revision=1),
            ),
            (ObjectNotFoundError, lambda batch: batch.object_delete(NETWORK, new_id())),
            (ObjectNotFoundError, lambda batch: batch.set_shared(NETWORK, new_id())),
            (UseragentKeyNotFoundError, lambda batch: batch.useragent_kv_delete("absent")),
            (
                RevisionConflictError,
                lambda batch: batch.kv_replace("t", "k", {"a": 1}, expected_revision=5),
            ),
        ]
        revision = await database.current_revision()
        async with database.watch() as feed:
            for error, refused in refusals:
                queued: Queued[WriteResult] = Queued()
                with pytest.raises(TransactionFailedError) as refusal:
                    async with database.batch() as batch:
                        queued = batch.object_update(NETWORK, blue, {"mtu": 1, "routes": []})
                        batch.create_ref(NETWORK, blue, NETWORK, red)
                        batch.set_shared(NETWORK, blue)
                        batch.kv_put("t", "x", {"a": 1})
                        batch.useragent_kv_store("u", "v")
                        refused(batch)
                        batch.object_update(NETWORK, blue, {"mtu": 2})
                assert refusal.value.index == 5
                assert type(refusal.value.error) is error
                assert not refusal.value.maybe_applied
                with pytest.raises(InvalidRequestError):
                    assert queued.result
            assert await database.current_revision() == revision
            assert await database.object_read(NETWORK, [blue, red]) == before
            assert await database.get_shared(NETWORK) == []
            assert (await database.kv_list("t")).items == []
            assert await database.useragent_kv_retrieve(["u"]) == {}
            last = await database.object_update(NETWORK, blue, {"mtu": 3})
            (change,) = await distinct_changes(database, harness, feed, 1)
        assert change.revision == last.revision

    async def test_refusal_of_one_objects_writes_applies_nothing(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(mtu=1)
        with pytest.raises(TransactionFailedError) as refusal:
            async with database.batch() as batch:
                batch.object_update(NETWORK, uuid, {"mtu": 2})
                batch.create_ref(NETWORK, uuid, POLICY, new_id())
        assert refusal.value.index == 1
        assert isinstance(refusal.value.error, DanglingRefError)
        assert (await database.object_get(NETWORK, uuid))["mtu"] == 1

    async def test_leaving_by_an_exception_sends_nothing(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(mtu=1)
        before = await database.current_revision()
        with pytest.raises(KeyError):
            async with database.batch() as batch:
                batch.object_update(NETWORK, uuid, {"mtu": 2})
                raise KeyError
        assert await database.current_revision() == before
        assert (await database.object_get(NETWORK, uuid))["mtu"] == 1

    async def test_arguments_are_checked_at_once(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(mtu=1)
        async with database.batch() as batch:
            batch.object_update(NETWORK, uuid, {"mtu": 2})
            with pytest.raises(InvalidRequestError):
                batch.object_update(NETWORK, uuid, {"colour": 1})
            with pytest.raises(InvalidRequestError):
                batch.kv_put("", "k", {"a": 1})
        assert (await database.object_get(NETWORK, uuid))["mtu"] == 2

    async def test_what_is_queued_is_a_snapshot(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network()
        update: dict[str, Json] = {"settings": {"x": 1}}
        async with database.batch() as batch:
            batch.object_update(NETWORK, uuid, update)
            update["settings"]["x"] = 2
            assert "settings" not in await database.object_get(NETWORK, uuid)
        assert (await database.object_get(NETWORK, uuid))["settings"] == {"x": 1}

    async def test_closed_batch_takes_nothing(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network()
        manager = database.batch()
        async with manager as batch:
            assert isinstance(batch, Batch)
        with pytest.raises(InvalidRequestError):
            batch.object_update(NETWORK, uuid, {})

    async def test_empty_batch(self, database: ConfigDatabase, site: Site) -> None:
        before = await database.current_revision()
        async with database.batch():
            pass
        assert await database.current_revision() == before

    async def test_later_writes_see_earlier_ones(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        if await refuses_second_object(database, site):
            return
        old, new, twin = await site.network("blue"), new_id(), new_id()
        async with database.batch() as batch:
            batch.object_delete(NETWORK, old)
            batch.object_create(NETWORK, new, site.below("blue"))
            batch.object_create(
                NETWORK, twin, {**site.below("twin"), "virtual_network_refs": refs(new)}
            )
            batch.object_update(NETWORK, new, {"mtu": 1})
            batch.object_update(NETWORK, new, {"label": "x"})
        read = await database.object_get(NETWORK, new)
        assert (read["mtu"], read["label"]) == (1, "x")
        assert uuids_of(read["virtual_network_refs"]) == [twin]

    async def test_changes_of_a_batch_are_seen_in_order(
        self, database: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        if await refuses_second_object(database, site):
            return
        blue, red = await site.network("blue"), await site.network("red")
        async with database.watch() as feed:
            async with database.batch() as batch:
                queued = [
                    batch.object_update(NETWORK, red, {"mtu": 1}),
                    batch.object_update(NETWORK, blue, {"mtu": 1}),
                    batch.object_update(NETWORK, red, {"mtu": 2}),
                    batch.object_delete(NETWORK, blue),
                ]
            changes = await distinct_changes(database, harness, feed, 4)
        assert [(change.op, change.uuid) for change in changes] == [
            ("update", red),
            ("update", blue),
            ("update", red),
            ("delete", blue),
        ]
        assert [change.revision for change in changes] == [one.result.revision for one in queued]
