"""The embedded engine that keeps everything in a SQLite file, or in memory."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from asyncbackends.protocols.backend import Kind
from asyncbackends.registry import Engine
from asyncbackends_sqlite.options import DATABASE_GUARANTEES, SqliteDatabaseOptions

if TYPE_CHECKING:
    from asyncbackends_sqlite.database import SqliteConfigDatabase

__all__ = ("SqliteDatabaseOptions", "config_database")


def _load() -> "Callable[[Sequence[str], SqliteDatabaseOptions], SqliteConfigDatabase]":
    from asyncbackends_sqlite.database import SqliteConfigDatabase  # noqa: PLC0415  # late

    return SqliteConfigDatabase


config_database: "Engine[SqliteDatabaseOptions, SqliteConfigDatabase]" = Engine(
    kind=Kind.CONFIG_DATABASE,
    name="sqlite",
    options=SqliteDatabaseOptions,
    load=_load,
    guarantees=DATABASE_GUARANTEES,
)
