"""What the mysql engine is configured with."""

from typing import Literal

from asyncbackends.options import ServerDatabaseOptions

__all__ = ("MysqlDatabaseOptions",)


class MysqlDatabaseOptions(ServerDatabaseOptions, frozen=True, kw_only=True):
    """Options of the mysql configuration database."""

    driver: Literal["auto", "aiomysql", "asyncmy"] = "auto"
    """auto is asyncmy where it is installed, else aiomysql."""
