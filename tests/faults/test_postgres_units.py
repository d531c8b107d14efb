"""Units on a real PostgreSQL: applied as a whole, or refused and nothing applied."""

from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import pytest
import pytest_asyncio

from asyncbackends.sql.effects import (
    CREATED,
    UPDATED,
    Effects,
    Guard,
    NewChange,
    NewElement,
    NewIndex,
    NewKvRow,
    NewObject,
    NewRef,
    NewShare,
    RefKey,
    Target,
)
from asyncbackends.sql.server import Refused
from asyncbackends_postgres.connection import PostgresConnection
from tests.faults.postgres_units import (
    PostgresTables,
    changed,
    created,
    deleted,
    fresh_ids,
    open_tables,
)
from tests.servers.running import Servers

FIRST, SECOND, THIRD, FOURTH, NOBODY_THERE = fresh_ids(5)


class Site(NamedTuple):
    """Tables with a connection."""

    tables: PostgresTables
    connection: PostgresConnection

    async def rows(self, neutral: str, *parameters: object) -> list[tuple[object, ...]]:
        return await self.tables.rows(self.connection, neutral, *parameters)


@pytest.fixture(autouse=True, params=["postgres"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest_asyncio.fixture
async def site(servers: Servers) -> AsyncIterator[Site]:
    async with open_tables(servers.get("postgres")) as tables:
        site = Site(tables, await tables.connection())
        yield site
        await tables.check(site.connection)


def dangling(uuid: str, to_type: str, to: str) -> Effects:
    unit = changed(uuid)
    unit.refs = [NewRef(uuid, "net", None, to_type, to, None, "1", False, True)]
    return unit


async def test_revisions_and_times(site: Site) -> None:
    first = await site.connection.apply(created(FIRST, "a"))
    second = await site.connection.apply(created(SECOND, "b"))
    unit = changed(FIRST, 1)
    unit.revisions = 3
    unit.guards.append(Guard(SECOND, "net", 2))
    unit.changes = [
        NewChange(1, UPDATED, "net", FIRST),
        NewChange(2, UPDATED, "net", SECOND),
        NewChange(3, UPDATED, "net", FIRST),
    ]
    third = await site.connection.apply(unit)
    assert [applied.before for applied in (first, second, third)] == [0, 1, 2]
    assert first.now < second.now < third.now
    assert await site.rows("SELECT ID(uuid), revision, modified FROM ~state ORDER BY uuid") == [
        (FIRST, 5, third.now),
        (SECOND, 4, third.now),
    ]
    assert await site.rows("SELECT created FROM ~object WHERE uuid = ?", FIRST) == [(first.now,)]
    still = await site.connection.apply(Effects(stamp=0))
    assert still.before == 5
    assert still.now > third.now


def names_twice(site: str) -> Effects:
    unit = created(THIRD, "c")
    unit.targets = [Target("net", None, "twice")]
    return unit


def with_parent(parent_type: str, uuid: str | None, name: str | None) -> Effects:
    return created(THIRD, "c", parent=(parent_type, uuid, name))


def with_row(seen: int, columns: str | None = "{}") -> Effects:
    return Effects(stamp=0, revisions=1, kv_rows=[NewKvRow("t", "k", columns, seen, 1)])


REFUSED: dict[str, Callable[[], Effects]] = {
    "uuid": lambda: created(FIRST, "c"),
    "name": lambda: created(THIRD, "a"),
    "name of a legacy duplicate": lambda: created(THIRD, "left"),
    "parent": lambda: with_parent("net", NOBODY_THERE, None),
    "type of the parent": lambda: with_parent("other", FIRST, None),
    "parent's name": lambda: with_parent("net", None, "nobody"),
    "target": lambda: created(THIRD, "c", refs=[FIRST, NOBODY_THERE]),
    "type of a target": lambda: Effects(stamp=0, targets=[Target("other", FIRST, None)]),
    "target's name": lambda: Effects(stamp=0, targets=[Target("net", None, "nobody")]),
    "target by uuid and name": lambda: Effects(stamp=0, targets=[Target("net", FIRST, "b")]),
    "ambiguous name": lambda: Effects(
        stamp=0, targets=[Target("net", None, "twice"), Target("net", None, "nobody")]
    ),
    "guard": lambda: changed(NOBODY_THERE),
    "guarded revision": lambda: changed(FIRST, 99),
    "guarded type": lambda: changed(FIRST, obj_type="other"),
    "needed ref": lambda: Effects(stamp=0, needed_refs=[(FIRST, "net", SECOND)]),
    "type of a needed ref": lambda: Effects(stamp=0, needed_refs=[(SECOND, "other", FIRST)]),
    "stamp": lambda: Effects(stamp=1, revisions=1),
    "stamp without revisions": lambda: Effects(stamp=1),
    "fence": lambda: Effects(stamp=0, fence=("f", 1, 4)),
    "epoch of the fence": lambda: Effects(stamp=0, fence=("f", 0, 9)),
    "new row": lambda: with_row(0),
    "row": lambda: with_row(1),
    "row to take away": lambda: with_row(1, None),
    "held by a ref": lambda: deleted(FIRST),
    "held by a child": lambda: deleted(SECOND),
    "ref by name": lambda: Effects(
        stamp=0, refs=[NewRef(FIRST, "net", "a", "net", None, "nobody", "1", False, False)]
    ),
    "ref": lambda: Effects(
        stamp=0, refs=[NewRef(FIRST, "net", "a", "net", NOBODY_THERE, None, "1", False, False)]
    ),
    "holder of a ref": lambda: Effects(
        stamp=0, refs=[NewRef(NOBODY_THERE, "net", None, "net", FIRST, None, "1", False, False)]
    ),
    "document": lambda: Effects(stamp=0, documents=[(NOBODY_THERE, "{}")]),
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def furnished(servers: Servers) -> AsyncIterator[Site]:
    """a <- b (a ref, and b has a child), a name that two have, and one that nobody has any more."""
    async with open_tables(servers.get("postgres")) as tables:
        site = Site(tables, await tables.connection())
        one, two, three, four, child = fresh_ids(5)
        for unit in (
            created(FIRST, "a"),
            created(SECOND, "b", refs=[FIRST]),
            created(child, "child", parent=("net", SECOND, None)),
            created(one, "twice"),
            created(two, "twice", twin=two),
            created(three, "left"),
            created(four, "left", twin=four),
            deleted(three),
            Effects(stamp=0, revisions=1, fence=("f", 1, 5)),
            Effects(stamp=0, revisions=1, kv_rows=[NewKvRow("t", "k", "{}", 0, 1)]),
        ):
            await site.connection.apply(unit)
        yield site


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("in_transaction", [False, True])
async def test_refused_as_a_whole(furnished: Site, what: str, in_transaction: bool) -> None:
    site = furnished
    unit = REFUSED[what]()
    # So much is done before the refusal, and must not stay.
    unit.useragent = [("a", "b")]
    unit.elements = [NewElement(FIRST, "list", "1", "2")]
    if unit.fence is None:
        unit.fence = ("other", 1, 1)
    before = await site.tables.content(site.connection)
    if in_transaction:
        await site.connection.begin()
    with pytest.raises(Refused):
        await site.connection.apply(unit)
    if in_transaction:
        await site.connection.rollback()
    assert site.connection.reusable
    assert await site.tables.content(site.connection) == before


async def test_objects_of_one_unit_lead_to_each_other(site: Site) -> None:
    child, holder, parent, grandchild = fresh_ids(4)
    unit = created(child, "child", parent=("net", parent, None))
    for uuid, name, up in (
        (holder, "holder", (None, None, None)),
        (parent, "parent", (None, None, None)),
        (grandchild, "grandchild", ("net", None, "child")),
    ):
        other = created(uuid, name, parent=up)
        unit.objects += other.objects
        unit.changes += other.changes
    unit.changes = [each._replace(offset=n) for n, each in enumerate(unit.changes, 1)]
    unit.revisions = 4
    unit.refs = [
        NewRef(holder, "net", None, "net", None, "child", "1", False, False),
        NewRef(holder, "net", None, "net", grandchild, None, "2", False, False),
        NewRef(holder, "net", None, "net", holder, None, "3", False, False),
    ]
    await site.connection.apply(unit)
    parents = "SELECT TEXT(o.fq), TEXT(p.fq) FROM ~object o JOIN ~object p"
    assert await site.rows(f"{parents} ON p.uuid = o.parent_uuid ORDER BY o.fq") == [
        ("child", "parent"),
        ("grandchild", "child"),
    ]
    assert await site.rows("SELECT TEXT(from_fq), TEXT(to_fq), attr FROM ~ref ORDER BY attr") == [
        ("holder", "child", "1"),
        ("holder", "grandchild", "2"),
        ("holder", "holder", "3"),
    ]


async def test_the_first_by_uuid_of_those_with_a_name(site: Site) -> None:
    await site.connection.apply(created(SECOND, "a"))
    await site.connection.apply(created(FIRST, "a", twin=FIRST))
    await site.connection.apply(created(THIRD, "c", parent=("net", None, "a")))
    unit = changed(THIRD)
    unit.refs = [NewRef(THIRD, "net", None, "net", None, "a", "1", False, False)]
    await site.connection.apply(unit)
    assert await site.rows("SELECT ID(to_uuid) FROM ~ref") == [(FIRST,)]
    found = await site.rows("SELECT ID(parent_uuid) FROM ~object WHERE uuid = ?", THIRD)
    assert found == [(FIRST,)]


async def test_a_tombstone_is_taken_over(site: Site) -> None:
    await site.connection.apply(created(FIRST, "a"))
    await site.connection.apply(dangling(FIRST, "net", THIRD))
    await site.connection.apply(dangling(FIRST, "other", FOURTH))
    names = "SELECT TEXT(to_type), TEXT(to_fq) FROM ~ref ORDER BY to_uuid"
    assert await site.rows(names) == [("net", None), ("other", None)]
    # Of another type than the ref waits for: the ref stays dangling.
    await site.connection.apply(created(FOURTH, "d"))
    await site.connection.apply(created(THIRD, "c", parent=("net", FIRST, None)))
    assert await site.rows(names) == [("net", "c"), ("other", None)]


async def test_a_ref_that_should_dangle_leads_to_what_is_there(site: Site) -> None:
    await site.connection.apply(created(FIRST, "a"))
    await site.connection.apply(created(SECOND, "b"))
    await site.connection.apply(dangling(FIRST, "net", SECOND))
    assert await site.rows("SELECT TEXT(to_fq) FROM ~ref") == [("b",)]


async def test_burial(site: Site) -> None:
    await site.connection.apply(created(FIRST, "a"))
    unit = created(SECOND, "b", refs=[FIRST], parent=("net", FIRST, None))
    unit.elements = [NewElement(SECOND, "list", "1", "2")]
    unit.indexes = [NewIndex("net", "a", "n:1", SECOND)]
    unit.shares = [NewShare("net", "tenant", "x", SECOND, 7)]
    await site.connection.apply(unit)
    await site.connection.apply(created(THIRD, "c", refs=[SECOND], parent=("net", SECOND, None)))
    await site.connection.apply(deleted(SECOND, buried=True))
    assert await site.rows("SELECT ID(from_uuid), TEXT(to_fq) FROM ~ref") == [(THIRD, None)]
    for table in ("elem", "indexed", "share"):
        assert await site.tables.count(site.connection, table) == 0
    assert await site.rows("SELECT 1 FROM ~doc WHERE uuid = ?", SECOND) == []
    # Its name is free, and an object may come to its place.
    await site.connection.apply(created(FOURTH, "b"))
    await site.connection.apply(created(SECOND, "e"))
    assert await site.rows("SELECT TEXT(to_fq) FROM ~ref") == [("e",)]


async def test_burial_of_the_parent_of_what_is_new(site: Site) -> None:
    await site.connection.apply(created(FIRST, "a"))
    unit = deleted(FIRST, buried=True)
    child = created(SECOND, "b", parent=("net", FIRST, None))
    unit.objects, unit.changes = child.objects, [*child.changes, *unit.changes]
    unit.changes = [each._replace(offset=n) for n, each in enumerate(unit.changes, 1)]
    unit.revisions = 2
    await site.connection.apply(unit)
    assert await site.rows("SELECT TEXT(type) FROM ~object ORDER BY uuid") == [("",), ("net",)]


async def test_what_goes_together(site: Site) -> None:
    await site.connection.apply(created(FIRST, "a"))
    unit = created(SECOND, "b", refs=[FIRST], parent=("net", FIRST, None))
    unit.elements = [NewElement(SECOND, "list", "1", "2")]
    unit.indexes = [NewIndex("net", "a", "n:1", SECOND)]
    unit.shares = [NewShare("net", "tenant", "x", SECOND, 7)]
    await site.connection.apply(unit)
    back = changed(FIRST)
    back.refs = [NewRef(FIRST, "net", None, "net", SECOND, None, "1", False, False)]
    await site.connection.apply(back)
    both = deleted(FIRST)
    both.guards.append(Guard(SECOND, "net", None))
    both.gone.append(SECOND)
    await site.connection.apply(both)
    for table in ("object", "state", "doc", "elem", "ref", "indexed", "share"):
        assert await site.tables.count(site.connection, table) == 0


@pytest.mark.parametrize(
    ("items", "appended"),
    [
        ([], "00010/0"),
        (["00010/0"], "00011/1"),
        (["00010/0", "00019/9"], "000210/10"),
        (["00011/1", "0009999999998/999999998"], "0009999999999/999999999"),
        (["0009999999999/999999999"], None),
        (["00010/0", "1word"], None),
        (["00017/007"], None),
        (["001012345678901/12345678901"], None),
    ],
)
async def test_appended(site: Site, items: list[str], appended: str | None) -> None:
    unit = created(FIRST, "a")
    unit.elements = [NewElement(FIRST, "list", item, "1") for item in items]
    await site.connection.apply(unit)
    unit = changed(FIRST)
    unit.appended = (FIRST, "list", "new")
    if appended is None:
        with pytest.raises(Refused):
            await site.connection.apply(unit)
        return
    await site.connection.apply(unit)
    found = await site.rows("SELECT TEXT(item) FROM ~elem WHERE value = 'new'")
    assert found == [(appended,)]


async def test_rows_are_put_and_taken_away(site: Site) -> None:
    unit = created(FIRST, "a")
    unit.elements = [NewElement(FIRST, "list", item, "1") for item in ("a", "b", "c")]
    unit.indexes = [NewIndex("net", "p", "n:1", FIRST), NewIndex("net", "q", "n:1", FIRST)]
    unit.shares = [NewShare("net", "tenant", name, FIRST, 7) for name in ("x", "y")]
    unit.useragent = [("k", "1"), ("l", "1")]
    unit.kv_rows = [NewKvRow("t", name, "{}", 0, 1) for name in ("k", "l", "m")]
    unit.refs = [NewRef(FIRST, "net", "a", "net", FIRST, "a", "1", True, False)]
    await site.connection.apply(unit)
    unit = changed(FIRST, 1)
    unit.documents = [(FIRST, "{}")]
    unit.elements = [NewElement(FIRST, "list", item, "2") for item in ("b", "d")]
    unit.elements_gone = [(FIRST, "list", "a"), (FIRST, "other", "c")]
    unit.indexes_gone = [(FIRST, "p")]
    unit.indexes = [NewIndex("net", "p", "n:2", FIRST)]
    unit.shares = [
        NewShare("net", "tenant", "x", FIRST, None),
        NewShare("net", "tenant", "y", FIRST, 5),
    ]
    unit.useragent = [("k", None), ("l", "2"), ("none", None)]
    unit.kv_rows = [
        NewKvRow("t", "k", None, 1, 0),
        NewKvRow("t", "l", '{"a":1}', 1, 1),
        NewKvRow("t", "n", "{}", 0, 1),
    ]
    unit.refs = [NewRef(FIRST, "net", None, "net", FIRST, None, "2", False, False)]
    await site.connection.apply(unit)
    for neutral, expected in (
        ("SELECT properties FROM ~doc", [("{}",)]),
        ("SELECT item, value FROM ~elem ORDER BY 1", [("b", "2"), ("c", "1"), ("d", "2")]),
        ("SELECT prop, item FROM ~indexed ORDER BY 1", [("p", "n:2"), ("q", "n:1")]),
        ("SELECT share_id, rwx FROM ~share", [("y", 5)]),
        ("SELECT name, value FROM ~useragent", [("l", "2")]),
        (
            "SELECT name, columns, revision FROM ~kv ORDER BY 1",
            [("l", '{"a":1}', 2), ("m", "{}", 1), ("n", "{}", 2)],
        ),
        # One that was relaxed stays so.
        ("SELECT attr, CASE WHEN relaxed THEN 1 ELSE 0 END FROM ~ref", [("2", 1)]),
    ):
        assert await site.rows(neutral) == expected


async def test_refs_are_needed_relaxed_and_taken_away(site: Site) -> None:
    await site.connection.apply(created(FIRST, "a"))
    await site.connection.apply(created(SECOND, "b", refs=[FIRST]))
    unit = changed(SECOND)
    unit.refs_relaxed = [RefKey(SECOND, FIRST)]
    await site.connection.apply(unit)
    relaxed = "SELECT 1 FROM ~ref WHERE relaxed"
    assert await site.rows(relaxed) == [(1,)]
    unit = changed(SECOND)
    unit.needed_refs = [(SECOND, "net", FIRST)]
    unit.refs_gone = [RefKey(SECOND, FIRST)]
    await site.connection.apply(unit)
    assert await site.rows("SELECT 1 FROM ~ref") == []
    with pytest.raises(Refused):
        await site.connection.apply(unit)


async def test_a_fence_is_kept(site: Site) -> None:
    for epoch, token in ((0, 9), (1, 1), (1, 1), (1, 2)):
        await site.connection.apply(Effects(stamp=0, fence=("f", epoch, token)))
    assert await site.rows("SELECT epoch, token FROM ~fence") == [(1, 2)]


async def test_several_units_in_one_transaction(site: Site) -> None:
    await site.connection.begin()
    assert not site.connection.reusable
    first = await site.connection.apply(created(FIRST, "a"))
    second = await site.connection.apply(created(SECOND, "b", refs=[FIRST]))
    other = await site.tables.connection()
    assert await site.tables.rows(other, "SELECT 1 FROM ~object") == []
    await site.connection.commit()
    assert site.connection.reusable
    assert (first.before, second.before) == (0, 1)
    assert len(await site.tables.rows(other, "SELECT 1 FROM ~object")) == 2


async def test_created_and_changed_in_one_unit(site: Site) -> None:
    unit = created(FIRST, "a")
    unit.revisions = 2
    unit.changes = [NewChange(1, CREATED, "net", FIRST), NewChange(2, UPDATED, "net", FIRST)]
    unit.objects = [NewObject(FIRST, "net", "a", unit.objects[0].twin, True, None, None, None)]
    await site.connection.apply(unit)
    assert await site.rows("SELECT revision FROM ~state") == [(2,)]
