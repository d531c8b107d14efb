"""What others put over the drivers: ``databases`` and SQLAlchemy Core, as their pages show them."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple
from uuid import uuid4

import databases
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

__all__ = ("BODY", "Peer", "opened_databases", "opened_sqlalchemy", "rows_table")

BODY = "x" * 1500
"""The 1.5 KB of a row."""


class Peer(NamedTuple):
    """One of them, with a pool for so many callers."""

    get: Callable[[str], Awaitable[object]]
    insert: Callable[[str], Awaitable[object]]
    name: Callable[[str], Awaitable[object]]
    """Gives the uuid of the network with this name."""


def rows_table(uuid: Any) -> sa.Table:
    """Give the table with 1.5 KB a row; its uuids are of the given type."""
    columns = (sa.Column("uuid", uuid, primary_key=True), sa.Column("properties", sa.Text))
    return sa.Table("bench_rows", sa.MetaData(), *columns)
