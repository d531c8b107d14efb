"""The engine that keeps everything in PostgreSQL."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from asyncbackends.protocols.backend import Kind
from asyncbackends.registry import Engine
from asyncbackends.sql.guarantees import SQL_GUARANTEES
from asyncbackends_postgres.options import PostgresDatabaseOptions

if TYPE_CHECKING:
    from asyncbackends.sql.database import SqlConfigDatabase

__all__ = ("PostgresDatabaseOptions", "config_database")


def _load() -> "Callable[[Sequence[str], PostgresDatabaseOptions], SqlConfigDatabase]":
    from asyncbackends_postgres.engine import create  # noqa: PLC0415  # late

    return create


config_database: "Engine[PostgresDatabaseOptions, SqlConfigDatabase]" = Engine(
    kind=Kind.CONFIG_DATABASE,
    name="postgres",
    options=PostgresDatabaseOptions,
    load=_load,
    guarantees=SQL_GUARANTEES,
)
