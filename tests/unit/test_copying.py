"""Databases are copied whole, while they are written to, and what is wrong is found."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from asyncbackends import ConfigDatabase, open_config_database
from asyncbackends.errors import ConfigurationError, NotFoundError
from asyncbackends.interchange.copying_claim import TABLE
from asyncbackends.interchange.copying_feed import Feed
from asyncbackends.interchange.copying_verifying import Verifying
from asyncbackends.protocols.values import Change, Gap
from tests.data.copies import (
    EMBEDDED,
    PAIRS,
    Listener,
    Writers,
    copied,
    database_settings,
    fill,
    made,
    until,
)
from tests.data.generate_dumps import uuid_of
from tests.data.loads import dump_lines
from tests.servers.running import Servers

SETTINGS = "origin", "destination", "engine"
everywhere = pytest.mark.parametrize(SETTINGS, PAIRS)
embedded = pytest.mark.parametrize(SETTINGS, EMBEDDED)


class Pair(NamedTuple):
    source: ConfigDatabase
    target: ConfigDatabase


@pytest.fixture
async def pair(
    origin: str, destination: str, engine: str, tmp_path: Path, servers: Servers
) -> AsyncIterator[Pair]:
    """Two databases, the first one filled."""
    loop = asyncio.get_running_loop()
    settings: list[dict[str, Any]] = [
        await loop.run_in_executor(None, database_settings, each, tmp_path, name, servers)
        for each, name in ((origin, "first"), (destination, "second"))
    ]
    async with (
        open_config_database(**settings[0]) as source,
        open_config_database(**settings[1]) as target,
    ):
        await fill(source)
        yield Pair(source, target)


async def assert_equal(pair: Pair) -> None:
    """Hold them against each other by other means than the copy's."""
    assert await dump_lines(pair.target) == await dump_lines(pair.source)
    for share in (("network", "two", "tenant"), ("policy", "one", "tenant"), ("network",)):
        assert await pair.target.get_shared(*share) == await pair.source.get_shared(*share)
    rows = [[*await database.kv_list("leases")] for database in pair]
    assert rows[0] == rows[1]
    keys = ["subnet 1", "none"]
    texts = [await database.useragent_kv_retrieve(keys) for database in pair]
    assert texts[0] == texts[1]


@everywhere
@pytest.mark.promise("database.copy-verified")
async def test_everything_is_copied(pair: Pair) -> None:
    report = await copied(*pair)
    assert (report.differences.count, report.objects, report.written.created) == (0, 20, 20)
    assert (report.shares, report.rows, report.texts, report.absent_texts) == (3, 1, 1, 1)
    assert report.written.relaxed == 3
    assert not report.resumed
    await assert_equal(pair)
    net = await pair.target.object_get("network", uuid_of("network 0"))
    assert net["hops"] == ["second", "tenth", "last"]
    read = await pair.target.prop_collection_read("network", net["uuid"], ["hops", "routes"])
    assert [at for _, at in read["hops"]] == ["2", "10", "z"]
    assert [at for _, at in read["routes"]] == ["0", "2"]
    with pytest.raises(NotFoundError):
        await pair.target.kv_get(TABLE, "state")


@everywhere
async def test_a_copy_of_a_copy_writes_nothing(pair: Pair) -> None:
    await copied(*pair)
    again = await copied(*pair)
    assert (again.written.created, again.written.updated, again.written.linked) == (0, 0, 0)
    assert (again.written.deleted, again.written.relaxed, again.written.beside) == (0, 0, 0)
    assert again.differences.count == 0
    back = await copied(pair.target, pair.source)
    assert (back.written.created, back.written.updated, back.differences.count) == (0, 0, 0)


@everywhere
@pytest.mark.promise("database.copy-beside-writers")
async def test_who_writes_during_a_copy_loses_nothing(
    pair: Pair, figure: Callable[[str], None]
) -> None:
    told = Listener(stop_at="nothing")
    copy = made(*pair, told, follow=True)
    async with Writers(pair.source).running() as writers, asyncio.TaskGroup() as group:
        copying = group.create_task(copy.run())
        await until(lambda: copying.done() or told.heard("in_step"))
        enough = writers.writes + 50
        await until(lambda: writers.writes >= enough)
        writers.stop()
        await asyncio.sleep(0.1)
        copy.stop.set()
    report = copying.result()
    assert report.differences.first == []
    assert report.changes > 50
    await assert_equal(pair)
    pause = report.seconds["pause"]
    figure(f"{writers.writes} writes meanwhile, a pause of {pause:.1f} s, 0 differences")


@embedded
async def test_news_that_come_late_are_no_difference(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear = Feed._hear  # pyright: ignore[reportPrivateUsage]  # to be late is the point
    clock = asyncio.get_running_loop()

    def hear_late(self: Feed, change: Change | Gap) -> None:
        clock.call_later(0.3, hear, self, change)

    async def relax(network: str) -> None:
        """Refer to it from ever new ports, which a target that heard nothing does not have."""
        named = {"parent_type": "project", "network_refs": [{"uuid": network}]}
        while True:
            port = str(uuid4())
            await pair.source.object_create("port", port, {"fq_name": ["d: ä", "p", port], **named})
            await pair.source.ref_relax_for_delete(port, network)
            await asyncio.sleep(0.002)

    monkeypatch.setattr(Feed, "_hear", hear_late)
    async with asyncio.TaskGroup() as group:
        relaxing = group.create_task(relax(uuid_of("network 3")))
        report = await copied(*pair)
        relaxing.cancel()
    assert report.differences.first == []


@embedded
async def test_a_copy_beside_writers_ends_without_following(pair: Pair) -> None:
    async with Writers(pair.source).running():
        report = await copied(*pair)
    assert report.differences.first == []


@embedded
@pytest.mark.promise("database.copy-verified")
async def test_a_spoiled_target_is_found_by_name(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = Verifying.verify

    async def spoil_and_verify(self: Verifying, *arguments: Any) -> None:
        await spoil(pair.target)
        await verify(self, *arguments)

    monkeypatch.setattr(Verifying, "verify", spoil_and_verify)
    report = await copied(*pair)
    monkeypatch.undo()
    found = {(each.kind, each.what, each.id): each for each in report.differences.first}
    assert report.differences.count == len(found) == 4
    network = found["differs", "network", uuid_of("network 1")]
    assert (network.name, network.reason) == ("d: ä:p:n1", "in mtu")
    listed = found["differs", "network", uuid_of("network 0")]
    assert listed.reason == "in positions of hops"
    assert found["missing", "port", uuid_of("port 2")].name == "d: ä:p:port 2"
    assert found["surplus", "port", uuid_of("foreign")].name == "d: ä:p:foreign"
    # The copy was not complete, so the same command goes on, and makes it so.
    again = await copied(*pair)
    assert again.resumed
    assert again.differences.count == 0
    assert (again.written.created, again.written.updated, again.written.deleted) == (1, 2, 1)
    await assert_equal(pair)


async def spoil(database: ConfigDatabase) -> None:
    await database.object_update("network", uuid_of("network 1"), {"mtu": 1})
    await database.object_update(
        "network", uuid_of("network 0"), {"hops": ["second", "tenth", "last"]}
    )
    await database.object_delete("port", uuid_of("port 2"))
    foreign = {"fq_name": ["d: ä", "p", "foreign"], "parent_type": "project"}
    await database.object_create("port", uuid_of("foreign"), foreign)


@embedded
async def test_what_differs_is_said_without_writing(pair: Pair) -> None:
    await copied(*pair)
    await spoil(pair.target)
    await pair.target.set_shared("network", uuid_of("network 0"), rwx=1)
    await pair.target.kv_delete("leases", "a:1")
    await pair.target.useragent_kv_store("none", "surplus")
    revision = await pair.target.current_revision()
    report = await made(*pair).compare()
    assert sorted((each.kind, each.what) for each in report.differences.first) == [
        ("differs", "network"),
        ("differs", "network"),
        ("differs", "share"),
        ("missing", "port"),
        ("missing", "row"),
        ("surplus", "port"),
        ("surplus", "text"),
    ]
    assert await pair.target.current_revision() == revision


@embedded
@pytest.mark.promise("database.copy-refuses-foreign-data")
async def test_other_data_is_never_written_over(pair: Pair) -> None:
    await copied(*pair)
    await spoil(pair.target)
    before = await dump_lines(pair.target), await pair.target.current_revision()
    with pytest.raises(ConfigurationError, match=r"holds other data .* --replace .* mtu"):
        await copied(*pair)
    assert (await dump_lines(pair.target), await pair.target.current_revision()) == before
    report = await copied(*pair, replace=True)
    assert report.differences.count == 0
    await assert_equal(pair)


@embedded
@pytest.mark.promise("database.copy-refuses-foreign-data")
@pytest.mark.parametrize("what", ["row", "text", "object"])
async def test_whatever_the_target_holds_counts(pair: Pair, what: str) -> None:
    if what == "row":
        await pair.target.kv_put("leases", "b", {"mine": True})
    elif what == "text":
        await pair.target.useragent_kv_store("none", "mine")
    else:
        await pair.target.set_schema(pair.source.schema)
        await pair.target.object_create("domain", uuid_of("mine"), {"fq_name": ["mine"]})
    with pytest.raises(ConfigurationError, match="holds other data"):
        await copied(*pair)
    report = await copied(*pair, replace=True)
    assert report.differences.count == 0
    await assert_equal(pair)


@embedded
async def test_an_unfinished_copy_belongs_to_its_source(pair: Pair) -> None:
    told = Listener()
    copying = asyncio.create_task(made(*pair, told).run())
    await until(lambda: told.steps.get("objects"))
    copying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copying
    with pytest.raises(ConfigurationError, match="unfinished copy of the first, begun"):
        await copied(*pair, labels=("another", "the second"))
    report = await copied(*pair)
    assert report.resumed
    assert report.differences.count == 0
    await assert_equal(pair)
