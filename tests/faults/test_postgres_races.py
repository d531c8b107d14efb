"""Units against each other on a real PostgreSQL: many rounds, and what must hold after each."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from uuid import uuid4

import pytest

from asyncbackends.sql.effects import Applied, Effects, NewRef, RefKey, Target
from asyncbackends.sql.server import Contended, Refused
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

ROUNDS = {"ci": 60, "soak": 2000}

pytestmark = pytest.mark.timeout(600)

Unit = Callable[[], Effects]


@pytest.fixture(autouse=True, params=["postgres"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def attempt(connection: PostgresConnection, unit: Effects) -> Applied | None:
    """Apply a unit, again where it met another; None where it was refused."""
    while True:
        # Each begins a little earlier or later than the others.
        await asyncio.sleep(random.random() / 2000)
        try:
            return await connection.apply(unit)
        except Contended:
            continue
        except Refused:
            return None


class Arena:
    """Connections that apply units at the same time."""

    def __init__(self, tables: PostgresTables, connections: Sequence[PostgresConnection]) -> None:
        self.tables = tables
        self.connections = connections

    @property
    def first(self) -> PostgresConnection:
        return self.connections[0]

    async def together(self, *units: Effects) -> list[Applied | None]:
        """Apply units at once, each on its own connection, and check what must hold."""
        calls: list[Awaitable[Applied | None]] = [
            attempt(connection, unit)
            for connection, unit in zip(self.connections, units, strict=False)
        ]
        found = await asyncio.gather(*calls)
        await self.tables.check(self.first)
        return found


async def arena(tables: PostgresTables, size: int) -> Arena:
    return Arena(tables, [await tables.connection() for _ in range(size)])


async def test_one_of_several_gets_a_name(servers: Servers, length: str) -> None:
    async with open_tables(servers.get("postgres")) as tables:
        racers = await arena(tables, 3)
        for number in range(ROUNDS[length]):
            found = await racers.together(
                *(created(uuid, f"n{number}") for uuid in fresh_ids(3)),
            )
            assert found.count(None) == 2


async def test_one_of_several_gets_a_uuid(servers: Servers, length: str) -> None:
    async with open_tables(servers.get("postgres")) as tables:
        racers = await arena(tables, 3)
        for number in range(ROUNDS[length]):
            uuid = str(uuid4())
            found = await racers.together(*(created(uuid, f"n{number}.{n}") for n in range(3)))
            assert found.count(None) == 2


async def test_no_ref_to_what_is_deleted(servers: Servers, length: str) -> None:
    async with open_tables(servers.get("postgres")) as tables:
        racers = await arena(tables, 3)
        won = {True: 0, False: 0}
        for number in range(ROUNDS[length]):
            target, new = fresh_ids(2)
            await racers.first.apply(created(target, f"t{number}"))
            ref, gone, child = await racers.together(
                created(new, f"n{number}", refs=[target]),
                deleted(target),
                created(str(uuid4()), f"c{number}", parent=("net", target, None)),
            )
            assert (gone is None) == (ref is not None or child is not None)
            won[gone is None] += 1
        assert all(won.values()), won


async def test_no_ref_is_lost_between_two_ends(servers: Servers, length: str) -> None:
    """Refs of one type stand on both sides; both ends change at once."""
    async with open_tables(servers.get("postgres")) as tables:
        racers = await arena(tables, 2)
        one, two = fresh_ids(2)
        await racers.first.apply(created(one, "one"))
        await racers.first.apply(created(two, "two"))
        for number in range(ROUNDS[length]):
            await racers.together(
                *(both_sides(pair, str(number)) for pair in ((one, two), (two, one)))
            )
            attrs = await tables.rows(racers.first, "SELECT attr FROM ~ref")
            assert attrs == [(str(number),)] * 2
            await racers.together(*(without_both(pair) for pair in ((one, two), (two, one))))
            assert await tables.count(racers.first, "ref") == 0


def both_sides(pair: tuple[str, str], attr: str) -> Effects:
    unit = changed(pair[0])
    unit.guards += changed(pair[1]).guards
    unit.changes.append(changed(pair[1]).changes[0]._replace(offset=2))
    unit.revisions = 2
    unit.targets = [Target("net", pair[1], None)]
    unit.refs = [
        NewRef(holder, "net", None, "net", to, None, attr, False, False)
        for holder, to in (pair, pair[::-1])
    ]
    return unit


def without_both(pair: tuple[str, str]) -> Effects:
    unit = both_sides(pair, "")
    unit.refs, unit.targets = [], []
    unit.refs_gone = [RefKey(*pair), RefKey(*pair[::-1])]
    return unit


async def test_no_update_is_lost(servers: Servers, length: str) -> None:
    """Each reads and writes at the revision it read: a counter in a property."""
    async with open_tables(servers.get("postgres")) as tables:
        racers = await arena(tables, 4)
        uuid, turns = str(uuid4()), ROUNDS[length] // 2
        unit = created(uuid, "counter")
        unit.documents = [(uuid, "0")]
        await racers.first.apply(unit)
        neutral = (
            "SELECT s.revision, d.properties FROM ~state s JOIN ~doc d ON d.uuid = s.uuid"
            " WHERE s.uuid = ?"
        )

        async def count(connection: PostgresConnection) -> None:
            done = 0
            while done < turns:
                revision, text = (await tables.rows(connection, neutral, uuid))[0]
                unit = changed(uuid, revision)
                unit.documents = [(uuid, str(int(text) + 1))]
                if await attempt(connection, unit) is not None:
                    done += 1

        await asyncio.gather(*(count(each) for each in racers.connections))
        assert (await tables.rows(racers.first, neutral, uuid))[0][1] == str(4 * turns)
        await tables.check(racers.first)


async def test_what_is_appended_at_once_has_places_in_a_row(servers: Servers, length: str) -> None:
    async with open_tables(servers.get("postgres")) as tables:
        racers = await arena(tables, 4)
        uuid, turns = str(uuid4()), ROUNDS[length] // 2
        await racers.first.apply(created(uuid, "list"))

        async def append(connection: PostgresConnection) -> None:
            for _ in range(turns):
                unit = changed(uuid)
                unit.appended = (uuid, "list", "1")
                # Nobody is refused: the highest is read under the object's lock.
                assert await attempt(connection, unit) is not None

        await asyncio.gather(*(append(each) for each in racers.connections))
        rows = await tables.rows(racers.first, "SELECT item FROM ~elem ORDER BY item")
        places = [int(str(item).partition("/")[2]) for (item,) in rows]
        assert places == [*range(4 * turns)]


async def test_revisions_are_seen_in_their_order(servers: Servers, length: str) -> None:
    """Whoever has seen a revision has seen all before it: what a watch relies on."""
    async with open_tables(servers.get("postgres")) as tables:
        racers = await arena(tables, 7)
        turns, seen, done = ROUNDS[length] // 2, 0, False

        async def write(connection: PostgresConnection) -> None:
            for _ in range(turns):
                uuid = str(uuid4())
                await attempt(connection, created(uuid, uuid))

        async def follow() -> None:
            nonlocal seen
            neutral = "SELECT revision FROM ~changes WHERE revision > ? ORDER BY revision"
            while not done:
                for (revision,) in await tables.rows(racers.first, neutral, seen):
                    assert revision == seen + 1
                    seen = revision

        async with asyncio.TaskGroup() as group:
            group.create_task(follow())
            await asyncio.gather(*(write(each) for each in racers.connections[1:]))
            done = True
        await follow_up(tables, racers.first, 6 * turns)


async def follow_up(tables: PostgresTables, connection: PostgresConnection, count: int) -> None:
    assert await tables.count(connection, "changes") == count
    await tables.check(connection)


def hanging(holder: str, to: str) -> Effects:
    unit = changed(holder)
    unit.refs = [NewRef(holder, "net", None, "net", to, None, "1", False, True)]
    return unit


def leading(holder: str, to: str) -> Effects:
    unit = changed(holder)
    unit.targets = [Target("net", to, None)]
    unit.refs = [NewRef(holder, "net", None, "net", to, None, "1", False, False)]
    return unit


@pytest.mark.parametrize("with_tombstone", [False, True])
async def test_dangling_refs_meet_what_they_wait_for(
    servers: Servers, length: str, with_tombstone: bool
) -> None:
    async with open_tables(servers.get("postgres")) as tables:
        racers = await arena(tables, 3)
        holders = fresh_ids(3)
        for holder in holders:
            await racers.first.apply(created(holder, holder))
        for number in range(ROUNDS[length]):
            target = str(uuid4())
            if with_tombstone:
                await racers.first.apply(hanging(holders[2], target))
            found = await racers.together(
                hanging(holders[0], target),
                created(target, f"t{number}"),
                hanging(holders[1], target),
            )
            assert None not in found
            dangling = "SELECT 1 FROM ~ref WHERE to_fq IS NULL"
            assert await tables.rows(racers.first, dangling) == []


async def test_burial_beside_new_refs_and_children(servers: Servers, length: str) -> None:
    async with open_tables(servers.get("postgres")) as tables:
        racers = await arena(tables, 4)
        holders = fresh_ids(3)
        for holder in holders:
            await racers.first.apply(created(holder, holder))
        led = 0
        for number in range(ROUNDS[length]):
            target = str(uuid4())
            await racers.first.apply(created(target, f"t{number}"))
            buried, ref, dangling, _ = await racers.together(
                deleted(target, buried=True),
                leading(holders[0], target),
                hanging(holders[1], target),
                created(str(uuid4()), f"c{number}", parent=("net", target, None)),
            )
            assert buried is not None
            assert dangling is not None
            led += ref is not None
        assert led


async def test_life_and_death_of_a_few(servers: Servers, length: str) -> None:
    """Everybody does anything to the same few objects; a deadlock is told, and nothing breaks."""
    async with open_tables(servers.get("postgres")) as tables:
        racers = await arena(tables, 4)
        uuids = fresh_ids(4)
        kinds = random.Random(7)

        def something() -> Effects:
            one, two = kinds.sample(uuids, 2)
            name = kinds.choice("abc")
            units: list[Unit] = [
                lambda: created(one, name),
                lambda: created(one, name, refs=[two]),
                lambda: created(one, name, parent=("net", two, None)),
                lambda: deleted(one),
                lambda: deleted(one, buried=True),
                lambda: leading(one, two),
                lambda: hanging(one, two),
                lambda: both_sides((one, two), "1"),
                lambda: without_both((one, two)),
                lambda: changed(one),
            ]
            return kinds.choice(units)()

        applied = 0
        for _ in range(ROUNDS[length]):
            found = await racers.together(*(something() for _ in racers.connections))
            applied += len(found) - found.count(None)
        assert applied > ROUNDS[length] / 3


async def test_tables_are_made_by_several_at_once(servers: Servers) -> None:
    for _ in range(3):
        async with open_tables(servers.get("postgres")) as tables:
            racers = await arena(tables, 6)
            script = f'DROP SCHEMA "{tables.options.namespace}" CASCADE'
            await racers.first.script([script])
            await asyncio.gather(*(tables.make(each) for each in racers.connections))
            await racers.first.apply(created(str(uuid4()), "a"))
            # Whoever comes later changes nothing.
            await tables.make(racers.first)
            await follow_up(tables, racers.first, 1)
