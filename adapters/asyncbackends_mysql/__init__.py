"""The engine that keeps everything in MariaDB or MySQL."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from asyncbackends.protocols.backend import Kind
from asyncbackends.registry import Engine
from asyncbackends.sql.guarantees import SQL_GUARANTEES
from asyncbackends_mysql.options import MysqlDatabaseOptions

if TYPE_CHECKING:
    from asyncbackends.sql.database import SqlConfigDatabase

__all__ = ("MysqlDatabaseOptions", "config_database")


def _load() -> "Callable[[Sequence[str], MysqlDatabaseOptions], SqlConfigDatabase]":
    from asyncbackends_mysql.engine import create  # noqa: PLC0415  # late

    return create


config_database: "Engine[MysqlDatabaseOptions, SqlConfigDatabase]" = Engine(
    kind=Kind.CONFIG_DATABASE,
    name="mysql",
    options=MysqlDatabaseOptions,
    load=_load,
    guarantees=SQL_GUARANTEES,
)
