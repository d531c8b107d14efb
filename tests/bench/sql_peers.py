"""What others put over the drivers: ``databases`` and SQLAlchemy Core, as their pages show them."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple
from uuid import UUID

import databases
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from tests.bench.side_by_side import Contender, callers
from tests.bench.sql_objects import network_id
from tests.bench.sql_operations import name_key

__all__ = ("BODY", "Peer", "Peers", "new_row", "opened_peers")

BODY = "x" * 1500
"""The 1.5 KB of a row of the table ``one_row``."""
GET = "SELECT uuid, properties FROM one_row WHERE uuid = :uuid"
INSERT = "INSERT INTO one_row (uuid, properties) VALUES (:uuid, :properties)"


class Peer(NamedTuple):
    """One of them, with a pool for as many callers."""

    get: Callable[[str], Awaitable[object]]
    insert: Callable[[str], Awaitable[object]]
    find: Callable[[str], Awaitable[object]]
    """Gives the uuid of the network with this name."""


class Peers(NamedTuple):
    """All of them, by name."""

    by_name: dict[str, Peer]

    def get(self) -> dict[str, Contender]:
        return {name: callers(peer.get, network_id) for name, peer in self.by_name.items()}

    def insert(self) -> dict[str, Contender]:
        return {name: callers(peer.insert, new_row) for name, peer in self.by_name.items()}

    def find(self) -> dict[str, Contender]:
        return {name: callers(peer.find, name_key) for name, peer in self.by_name.items()}


def new_row(number: int) -> str:
    """Give the uuid of a row that nobody made before."""
    return str(UUID(int=number))


async def opened_peers(
    stack: AsyncExitStack,
    urls: dict[str, sa.URL],
    size: int,
    objects: str,
    uuid: sa.types.TypeEngine[Any],
) -> Peers:
    """Open both on every driver.

    :param urls: by the driver's name.
    :param objects: the table of objects, qualified as in SQL.
    :param uuid: the type of uuids.
    """
    by_name: dict[str, Peer] = {}
    for driver, url in urls.items():
        text = url.render_as_string(hide_password=False)
        database = databases.Database(text, min_size=size, max_size=size)
        await database.connect()
        stack.push_async_callback(database.disconnect)
        by_name[f"databases ({driver})"] = _databases_peer(database, objects)
        engine = create_async_engine(url, pool_size=size, max_overflow=0)
        stack.push_async_callback(engine.dispose)
        by_name[f"SQLAlchemy Core ({driver})"] = _core_peer(engine, objects, uuid)
    return Peers(by_name)


def _databases_peer(database: Any, objects: str) -> Peer:
    find_query = f"SELECT uuid FROM {objects} WHERE type = :type AND fq = :fq"  # noqa: S608  # our own names

    async def get(uuid: str) -> object:
        return await database.fetch_one(GET, {"uuid": uuid})

    async def insert(uuid: str) -> object:
        return await database.execute(INSERT, {"uuid": uuid, "properties": BODY})

    async def find(key: str) -> object:
        return await database.fetch_one(find_query, {"type": "network", "fq": key})

    return Peer(get, insert, find)


def _core_peer(engine: Any, objects: str, uuid_type: Any) -> Peer:
    schema, _, name = objects.rpartition(".")
    metadata = sa.MetaData()
    rows = sa.Table(
        "one_row",
        metadata,
        sa.Column("uuid", uuid_type, primary_key=True),
        sa.Column("properties", sa.Text),
    )
    table = sa.Table(
        name,
        metadata,
        sa.Column("uuid", uuid_type, primary_key=True),
        sa.Column("type", sa.Text),
        sa.Column("fq", sa.Text),
        schema=schema or None,
    )

    async def get(uuid: str) -> object:
        async with engine.connect() as connection:
            found = await connection.execute(sa.select(rows).where(rows.c.uuid == uuid))
            return found.one()

    async def insert(uuid: str) -> object:
        async with engine.begin() as connection:
            return await connection.execute(sa.insert(rows).values(uuid=uuid, properties=BODY))

    async def find(key: str) -> object:
        async with engine.connect() as connection:
            chosen = sa.select(table.c.uuid).where(table.c.type == "network", table.c.fq == key)
            return (await connection.execute(chosen)).one()

    return Peer(get, insert, find)
