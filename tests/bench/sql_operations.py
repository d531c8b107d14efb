"""An engine's operations beside the same statements on held connections of the bare driver.

The raw side sends our own statements and builds the same results with the same pure code; what is
between the two is the seam, the session, the deadline and the pool. Its creates go through the
checks and the encoding too, and once more with all of that done before.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from asyncbackends import ALL_FIELDS, ConfigDatabase
from asyncbackends.object_model.assembling import assemble
from asyncbackends.object_model.model import ObjectModel
from asyncbackends.object_model.values import fq_key
from asyncbackends.protocols.guarantees import Limits
from asyncbackends.protocols.values import ConfigObject, WriteResult
from asyncbackends.sql.assuming import assumed
from asyncbackends.sql.effects import Applied, Effects
from asyncbackends.sql.reading import assembled, objects_statement, wanted_parts
from asyncbackends.sql.server import Row
from asyncbackends.sql.statements import Statements
from tests.bench.side_by_side import (
    Contender,
    callers,
    holders,
    print_figures,
    side_by_side,
)
from tests.bench.sql_columns import linked_ids, objects_of, with_names
from tests.bench.sql_objects import SCHEMA, batch, network_id, new_network, parent_id

__all__ = (
    "CALLERS",
    "ColumnStatements",
    "Held",
    "Others",
    "RawSide",
    "measure_operations",
    "name_key",
    "name_of",
)

CALLERS = 16
GETS = 800
NAMES = 1600
CREATES = 480
BATCHES = 6
FEW = 4
"""So many times fewer where one caller does it alone."""

Held = Callable[..., Awaitable[Sequence[Row]]]
"""A held connection: runs a statement with its parameters."""

MODEL = ObjectModel(SCHEMA, Limits())


@dataclass(frozen=True)
class ColumnStatements:
    """The two reads of the column layout, each with one list of uuids."""

    objects: str
    names: str
    given: Callable[[Sequence[str]], Any]


@dataclass(frozen=True)
class RawSide:
    """The bare driver."""

    name: str
    held: Sequence[Held]
    sql: Statements
    stamp: int
    unit: Callable[[Effects], Any]
    """Gives what applies a unit, as ``send`` takes it."""
    send: Callable[[Held, Any], Awaitable[Applied]]
    columns: ColumnStatements

    def get(self) -> Callable[[Held, str], Awaitable[ConfigObject]]:
        """Read one object."""
        view = MODEL.view("network")
        selection = view.select(None)
        text, _ = objects_statement(self.sql, wanted_parts(view, selection), [parent_id(0)])
        uuid_of = self.sql.id

        async def get(held: Held, uuid: str) -> ConfigObject:
            given = uuid_of(uuid)
            rows = await held(text, given, "network", given, given)
            return assemble(view, selection, assembled(view, rows)[uuid])

        return get

    def batch(self) -> Callable[[Held, list[str]], Awaitable[list[ConfigObject]]]:
        """Read many objects with all that leads to and from them."""
        view = MODEL.view("network")
        selection = view.select(ALL_FIELDS)
        parts = wanted_parts(view, selection)
        text, _ = objects_statement(self.sql, parts, [parent_id(0), parent_id(1)])
        holder_types = sorted(selection.back_refs)
        uuids_of = self.sql.ids

        async def read(held: Held, uuids: list[str]) -> list[ConfigObject]:
            given = uuids_of(uuids)
            rows = await held(text, given, "network", given, given, given, "network", holder_types)
            found = assembled(view, rows)
            return [assemble(view, selection, found[uuid]) for uuid in uuids]

        return read

    async def columns_batch(self, held: Held, uuids: list[str]) -> list[dict[str, Any]]:
        """Read the same objects from the column layout."""
        columns = self.columns
        objects = objects_of(await held(columns.objects, columns.given(uuids)))
        names = await held(columns.names, columns.given(linked_ids(objects)))
        with_names(objects, names)
        return [objects[uuid] for uuid in uuids]

    async def create(self, held: Held, new: tuple[str, dict[str, Any]]) -> WriteResult:
        """Check, encode and create one object."""
        effects, result = self.effects(new)
        applied: WriteResult = result(await self.send(held, self.unit(effects)))
        return applied

    def effects(self, new: tuple[str, dict[str, Any]]) -> tuple[Effects, Callable[[Applied], Any]]:
        """Give the unit of a create."""
        blind = assumed(MODEL.view, {}, self.stamp, MODEL.create("network", *new), None)
        assert blind is not None
        return blind

    def prebuilt(self, number: int) -> Any:
        """Give what ``send`` takes for a new object."""
        return self.unit(self.effects(new_network(number))[0])


class Others(NamedTuple):
    """What others do of the same; the first of each is the baseline."""

    find: Mapping[str, Contender]
    """The lookup of a name, by the same statement."""
    get_row: Mapping[str, Contender]
    insert_row: Mapping[str, Contender]
    """One row of 1.5 KB by its primary key."""


def name_of(number: int) -> list[str]:
    """Give the name of a network that is there."""
    return ["domain", f"project-{number % 1000 % 100}", network_id(number)]


def name_key(number: int) -> str:
    """Give that name as it is stored."""
    return fq_key(name_of(number))


async def measure_operations(db: ConfigDatabase, raw: RawSide, others: Others) -> None:
    """Print get, name lookup, batch read and creates."""
    await _same_results(db, raw)
    for at_once in (CALLERS, 1):
        await _measure_reads(db, raw, others, at_once)
    await _measure_batches(db, raw)
    for at_once in (1, CALLERS, 64):
        await _measure_creates(db, raw, at_once)
    for title, contenders in (("read", others.get_row), ("insert", others.insert_row)):
        figures = await side_by_side(contenders, GETS, CALLERS, rounds=5)
        print_figures(f"{db.engine}: {title} of one row of 1.5 KB, {CALLERS} at once", figures)


async def _measure_reads(db: ConfigDatabase, raw: RawSide, others: Others, at_once: int) -> None:
    engine, get, statement = f"{db.engine} engine", raw.get(), raw.sql.ids_of_name
    figures = await side_by_side(
        {
            raw.name: holders(raw.held, get, network_id),
            engine: callers(lambda uuid: db.object_get("network", uuid), network_id),
        },
        GETS if at_once > 1 else GETS // FEW,
        at_once,
        rounds=21,
    )
    print_figures(f"{db.engine}: object_get, {at_once} at once", figures)
    figures = await side_by_side(
        {
            **others.find,
            raw.name: holders(
                raw.held, lambda held, key: held(statement, "network", key), name_key
            ),
            engine: callers(lambda name: db.fq_name_to_uuid("network", name), name_of),
        },
        NAMES if at_once > 1 else NAMES // FEW,
        at_once,
    )
    print_figures(f"{db.engine}: fq_name_to_uuid, {at_once} at once", figures)


async def _measure_batches(db: ConfigDatabase, raw: RawSide) -> None:
    engine, read = f"{db.engine} engine", raw.batch()
    figures = await side_by_side(
        {
            raw.name: holders(raw.held, read, batch),
            engine: callers(lambda uuids: db.object_read("network", uuids, ALL_FIELDS), batch),
            "column per property": holders(raw.held, raw.columns_batch, batch),
        },
        BATCHES,
        1,
        rounds=21,
    )
    print_figures(f"{db.engine}: read of 200 with refs and back refs, 1 at once", figures)
    ratio = figures["column per property"].throughput / figures[engine].throughput
    print(f"  {engine}: {ratio:.2f} of the time of the column per property")


async def _measure_creates(db: ConfigDatabase, raw: RawSide, at_once: int) -> None:
    figures = await side_by_side(
        {
            raw.name: holders(raw.held, raw.create, new_network),
            f"{raw.name}, prebuilt": holders(raw.held, raw.send, raw.prebuilt),
            f"{db.engine} engine": callers(
                lambda new: db.object_create("network", *new), new_network
            ),
        },
        CREATES if at_once > 1 else CREATES // FEW,
        at_once,
        rounds=11,
    )
    print_figures(f"{db.engine}: object_create, {at_once} at once", figures)


async def _same_results(db: ConfigDatabase, raw: RawSide) -> None:
    """Fail unless all sides give the same."""
    held = raw.held[0]
    uuid = network_id(1)
    assert await raw.get()(held, uuid) == await db.object_get("network", uuid)
    ours = await db.object_read("network", batch(1), ALL_FIELDS)
    assert await raw.batch()(held, batch(1)) == ours
    for theirs, mine in zip(await raw.columns_batch(held, batch(1)), ours, strict=True):
        assert theirs == mine
    assert await db.fq_name_to_uuid("network", name_of(1)) == uuid
