"""The feed of changes: what it tells, from where on, and when something may be missing."""

from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest

from asyncbackends.errors import BackendClosedError, CompactedError, InvalidRequestError
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.values import Change, CollectionUpdate, Gap
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures, OpenDatabase
from asyncbackends.testing.config_database.sample import Site, new_id, refs
from asyncbackends.testing.harness import Harness

__all__ = ("WatchConformance", "distinct_changes")

NETWORK, POLICY = "virtual_network", "network_policy"


async def distinct_changes(
    database: ConfigDatabase,
    harness: Harness,
    feed: AsyncIterator[Change | Gap],
    count: int,
) -> list[Change]:
    """Collect so many different changes, no Gap, in the order of their revisions.

    With ORDERED_WATCH that is the order in which they came, and none came twice.
    """
    changes: list[Change] = []
    while len(changes) < count:
        for change in await harness.collect(feed, count - len(changes)):
            assert isinstance(change, Change), f"nothing was lost, and there is {change}"
            if Guarantee.ORDERED_WATCH in database.guarantees or change not in changes:
                _assert_in_order(changes, change)
                changes.append(change)
    in_order = sorted(changes, key=lambda change: change.revision)
    if Guarantee.ORDERED_WATCH in database.guarantees:
        assert changes == in_order
    return in_order


def _assert_in_order(before: list[Change], change: Change) -> None:
    """Hold a change against the earlier ones of the same object."""
    earlier = [one.revision for one in before if one.uuid == change.uuid]
    assert not earlier or earlier[-1] < change.revision, f"{change} after {earlier[-1]}"


class WatchConformance(DatabaseFixtures):
    """``Watchable``."""

    async def test_every_kind_of_write_is_seen(
        self, database: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        policy = await site.policy()
        async with database.watch() as feed:
            network = new_id()
            write = database.prop_collection_update
            step = CollectionUpdate("routes", "add", "r")
            results = [
                await database.object_create(NETWORK, network, site.below("blue")),
                await database.object_update(NETWORK, network, {"mtu": 1}),
                await write(NETWORK, network, [step]),
                await database.create_ref(NETWORK, network, POLICY, policy),
                await database.delete_ref(NETWORK, network, POLICY, policy),
                await database.update_perms2(network),
                await database.object_delete(NETWORK, network),
            ]
            changes = await distinct_changes(database, harness, feed, len(results))
        ops: list[Literal["create", "update", "delete"]] = ["create", *["update"] * 5, "delete"]  # type: ignore[list-item]  # literals in a repeated list
        assert changes == [
            Change(result.revision, op, NETWORK, network)
            for result, op in zip(results, ops, strict=True)
            if result is not None
        ]

    async def test_peers_are_seen(
        self, database: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        peers = sorted([await site.network("a"), await site.network("b")])
        async with database.watch() as feed:
            uuid = await site.network("c", virtual_network_refs=refs(*peers))
            made = await distinct_changes(database, harness, feed, 3)
            assert [(change.op, change.uuid) for change in made] == [
                ("create", uuid),
                *(("update", peer) for peer in peers),
            ]
            for change in made:
                read = await database.object_get(NETWORK, change.uuid)
                assert read.revision == change.revision
            await database.object_delete(NETWORK, uuid)
            gone = await distinct_changes(database, harness, feed, 3)
            assert [(change.op, change.uuid) for change in gone] == [
                ("delete", uuid),
                *(("update", peer) for peer in peers),
            ]

    async def test_holders_of_relaxed_refs_are_seen(
        self, database: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        policy = await site.policy()
        network = await site.network(network_policy_refs=refs(policy))
        await database.ref_relax_for_delete(network, policy)
        async with database.watch() as feed:
            await database.object_delete(POLICY, policy)
            changes = await distinct_changes(database, harness, feed, 2)
        assert {(change.op, change.uuid) for change in changes} == {
            ("delete", policy),
            ("update", network),
        }

    async def test_refused_writes_and_side_tables_are_not_seen(
        self, database: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        uuid = await site.network()
        async with database.watch() as feed:
            for refused in ({"colour": 1}, {"network_policy_refs": refs(new_id())}):
                await harness.outcomes(database.object_update(NETWORK, uuid, refused))
            await harness.outcomes(database.object_delete("project", site.project))
            await database.set_shared(NETWORK, uuid)
            await database.useragent_kv_store("a", "b")
            await database.kv_put("t", "k", {"a": 1})
            last = await database.object_update(NETWORK, uuid, {"mtu": 1})
            (change,) = await distinct_changes(database, harness, feed, 1)
        assert change.revision == last.revision

    async def test_types_narrow_it(
        self, database: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        async with database.watch(types={POLICY, "tag"}) as feed:
            await site.network()
            policy = await site.policy()
            await site.network("red")
            tag = await site.tag()
            changes = await distinct_changes(database, harness, feed, 2)
        assert [change.uuid for change in changes] == [policy, tag]
        async with database.watch(types=[]) as feed:
            await site.tag("other")
            assert await harness.quiet(feed)

    async def test_unknown_type_is_not_watched(self, database: ConfigDatabase) -> None:
        with pytest.raises(InvalidRequestError):
            async with database.watch(types={"virtual-network"}):
                pass

    async def test_begins_where_the_block_is_entered(
        self, database: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        await site.network("before")
        watch = database.watch()
        between = await site.network("between")
        async with watch as feed:
            after = await site.network("after")
            (change,) = await distinct_changes(database, harness, feed, 1)
        assert change.uuid == after != between

    async def test_since_replays_what_was_written(
        self, database: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        start = await database.current_revision()
        ids = [await site.network(f"n{number}") for number in range(5)]
        async with database.watch(since=start) as feed:
            changes = await distinct_changes(database, harness, feed, 5)
            assert [change.uuid for change in changes] == ids
            later = await site.network("later")
            (change,) = await distinct_changes(database, harness, feed, 1)
            assert change.uuid == later
        if Guarantee.DATABASE_WIDE_REVISION in database.guarantees:
            async with database.watch(since=changes[2].revision) as feed:
                rest = await distinct_changes(database, harness, feed, 3)
            assert [change.uuid for change in rest] == [*ids[3:], later]
        async with database.watch(since=0) as feed:
            (first,) = await distinct_changes(database, harness, feed, 1)
        assert (first.op, first.uuid) == ("create", site.domain)

    async def test_waits_for_changes(
        self, database: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        async with (
            database.watch() as feed,
            harness.background(harness.collect(feed, 1)) as waiting,
        ):
            await harness.sleep(0.05)
            uuid = await site.network()
            (change,) = await waiting.result()
        assert isinstance(change, Change)
        assert change.uuid == uuid

    async def test_is_quiet_without_changes(
        self, database: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        async with database.watch() as feed:
            assert await harness.quiet(feed, 0.2)

    async def test_waiting_can_be_cancelled_and_resumed(
        self, database: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        async with database.watch() as feed:
            for number in range(3):
                assert await harness.quiet(feed, 0.02)
                uuid = await site.network(f"n{number}")
                (change,) = await distinct_changes(database, harness, feed, 1)
                assert change.uuid == uuid

    async def test_several_watchers_see_everything(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        async with database.watch() as first, database.watch() as second, other.watch() as third:
            ids = [await site.network(f"n{number}") for number in range(5)]
            for feed in (first, second, third):
                changes = await distinct_changes(database, harness, feed, 5)
                assert [change.uuid for change in changes] == ids

    @pytest.mark.parametrize("since", ["5", -1, 1.0, True])
    async def test_malformed_since_is_refused(self, database: ConfigDatabase, since: Any) -> None:
        with pytest.raises(InvalidRequestError):
            async with database.watch(since=since):
                pass

    async def test_since_ahead_is_refused(self, database: ConfigDatabase, site: Site) -> None:
        ahead = await database.current_revision() + 1
        if Guarantee.DATABASE_WIDE_REVISION not in database.guarantees:
            # Revisions are times there, and the next one may come any moment.
            ahead += 3_600_000_000
        with pytest.raises(InvalidRequestError):
            async with database.watch(since=ahead):
                pass

    async def test_gone_history_is_refused(
        self, open_database: OpenDatabase, harness: Harness
    ) -> None:
        async with open_database(watch_history=10) as database:
            site = await Site(database).prepare()
            start = await database.current_revision()
            uuid = await site.network()
            for number in range(30):
                await database.object_update(NETWORK, uuid, {"mtu": number})
            last = await database.current_revision()

            async def refused() -> bool:
                try:
                    async with database.watch(since=start):
                        return False
                except CompactedError as error:
                    assert start < error.oldest <= last
                    return True

            # Old changes may be thrown away in the background.
            assert await harness.eventually(refused)
            async with database.watch(since=last - 5) as feed:
                changes = await distinct_changes(database, harness, feed, 5)
            assert changes[-1].revision == last

    async def test_slow_reader_is_told_of_a_gap(
        self, open_database: OpenDatabase, harness: Harness
    ) -> None:
        async with open_database(watch_history=10) as database:
            site = await Site(database).prepare()
            uuid = await site.network()
            async with database.watch() as feed:
                start = await database.current_revision()
                (first, *_) = [
                    await database.object_update(NETWORK, uuid, {"mtu": number})
                    for number in range(2)
                ]
                (seen,) = await distinct_changes(database, harness, feed, 1)
                assert seen.revision == first.revision > start
                last = first
                for number in range(60):
                    last = await database.object_update(NETWORK, uuid, {"mtu": number})
                found: list[Change | Gap] = []
                while not found or getattr(found[-1], "revision", 0) < last.revision:
                    found += await harness.collect(feed, 1)
            gaps = [one for one in found if isinstance(one, Gap)]
            # What was kept is there without a hole, or the hole is told of.
            revisions = [one.revision for one in found if isinstance(one, Change)]
            assert revisions == sorted({*revisions})
            assert gaps or len(revisions) == 61
            assert all(gap.reason in {"compacted", "overflow"} for gap in gaps)

    async def test_entered_after_the_end(
        self, open_database: OpenDatabase, harness: Harness
    ) -> None:
        async with open_database() as database:
            site = await Site(database).prepare()
            watch = database.watch()
            feed = await watch.__aenter__()
            waiting = harness.collect(feed, 1)
            async with harness.background(waiting) as task:
                await database.shutdown()
                with pytest.raises(BackendClosedError):
                    await task.result()
            with pytest.raises(BackendClosedError):
                await anext(feed)
            await watch.__aexit__(None, None, None)
        assert site

    async def test_current_revision(self, database: ConfigDatabase, site: Site) -> None:
        seen = [await database.current_revision()]
        uuid = await site.network()
        seen.append(await database.current_revision())
        result = await database.object_update(NETWORK, uuid, {"mtu": 1})
        seen.append(await database.current_revision())
        assert seen == sorted({*seen})
        assert seen[-1] == result.revision
        await database.object_get(NETWORK, uuid)
        assert await database.current_revision() == seen[-1]

    async def test_new_database_is_at_revision_0(self, database: ConfigDatabase) -> None:
        assert await database.current_revision() == 0
