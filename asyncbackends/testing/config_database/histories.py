"""Many writers and one watcher: nothing is missed, nothing repeated, and all in order."""

from asyncbackends.errors import BackendError
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.values import Change, CollectionUpdate, WriteResult
from asyncbackends.recipes.updating import update_with
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.sample import Site, new_id
from asyncbackends.testing.config_database.watching import distinct_changes
from asyncbackends.testing.harness import Harness

__all__ = ("HistoriesConformance",)

NETWORK = "virtual_network"

History = list[tuple[str, str, WriteResult]]


class HistoriesConformance(DatabaseFixtures):
    """What concurrent writers were told, held against what a watcher saw."""

    writers: int = 8
    writes_each: int = 25

    async def write_history(
        self, database: ConfigDatabase, site: Site, number: int, shared: str
    ) -> History:
        """Write objects of one's own and one that all share; give what was acknowledged."""
        history: History = []
        own = new_id()
        created = await database.object_create(NETWORK, own, site.below(f"own-{number}"))
        history.append((own, "create", created))
        for count in range(self.writes_each):
            uuid = shared if count % 5 == 4 else own
            match count % 3:
                case 0:
                    result = await database.object_update(NETWORK, uuid, {"mtu": count})
                case 1:
                    step = CollectionUpdate("routes", "add", f"{number}-{count}")
                    result = await database.prop_collection_update(NETWORK, uuid, [step])
                case _:
                    result = await database.object_update(NETWORK, uuid, {"label": str(count)})
            history.append((uuid, "update", result))
        history.append((own, "delete", await database.object_delete(NETWORK, own)))
        return history

    async def test_watcher_sees_what_writers_were_told(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        shared = await site.network("shared")
        start = await database.current_revision()
        clients = [database, other] * self.writers
        total = self.writers * (self.writes_each + 2)
        async with database.watch(types={NETWORK}) as feed:
            watching = distinct_changes(database, harness, feed, total)
            async with harness.background(watching) as seen:
                histories = await harness.gather(
                    *(
                        self.write_history(clients[number], site, number, shared)
                        for number in range(self.writers)
                    )
                )
                changes = await seen.result()
            assert await harness.quiet(feed)
        told = {
            (result.revision, op, uuid) for history in histories for uuid, op, result in history
        }
        assert {(change.revision, change.op, change.uuid) for change in changes} == told
        for history in histories:
            revisions = [result.revision for _, _, result in history]
            if Guarantee.DATABASE_WIDE_REVISION in database.guarantees:
                assert revisions == sorted({*revisions})
        if Guarantee.DATABASE_WIDE_REVISION in database.guarantees:
            assert [change.revision for change in changes] == [
                *range(start + 1, start + 1 + total)
            ] or len({change.revision for change in changes}) == total
        async with database.watch(types={NETWORK}, since=start) as feed:
            again = await distinct_changes(database, harness, feed, total)
        assert again == changes

    async def test_watcher_follows_each_object_to_its_end(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        """Following the feed with reads leads to the final state."""
        ids = [await site.network(f"n{number}", mtu=0) for number in range(5)]
        copies: dict[str, int] = {}

        async def write(client: ConfigDatabase) -> None:
            for count in range(1, 21):
                for uuid in ids:
                    await client.object_update(NETWORK, uuid, {"mtu": count})

        async def follow() -> None:
            async with database.watch(types={NETWORK}) as feed:
                async for change in feed:
                    assert isinstance(change, Change)
                    read = await database.object_get(NETWORK, change.uuid)
                    # What is read is at least as new as the event that led to it.
                    assert read.revision >= change.revision
                    copies[change.uuid] = read.revision

        async with harness.background(follow()) as following:
            await harness.gather(write(database), write(other))
            final = await database.object_read(NETWORK, ids)

            async def caught_up() -> bool:
                return copies == {one["uuid"]: one.revision for one in final}

            assert await harness.eventually(caught_up), copies
            assert following

    async def test_concurrent_changes_lose_no_update(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        uuid = await site.network(mtu=0)

        async def count(client: ConfigDatabase) -> None:
            for _ in range(10):
                await update_with(
                    client, NETWORK, uuid, lambda read: {"mtu": read["mtu"] + 1}, attempts=1000
                )

        await harness.gather(*(count(client) for client in [database, other] * 3))
        assert (await database.object_get(NETWORK, uuid))["mtu"] == 60

    async def test_revisions_of_an_object_are_a_single_line(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        uuid = await site.network(mtu=0)
        results: list[int] = []

        async def write(client: ConfigDatabase) -> None:
            for number in range(20):
                result = await client.object_update(NETWORK, uuid, {"mtu": number})
                read = await client.object_get(NETWORK, uuid)
                assert read.revision >= result.revision
                results.append(result.revision)

        outcomes = await harness.outcomes(*(write(client) for client in [database, other] * 2))
        assert [error for _, error in outcomes if isinstance(error, BackendError)] == []
        assert len({*results}) == 80
        assert (await database.object_get(NETWORK, uuid)).revision == max(results)
