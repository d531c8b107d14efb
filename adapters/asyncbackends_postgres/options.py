"""What the postgres engine is configured with."""

from typing import Literal

from asyncbackends.options import ServerDatabaseOptions

__all__ = ("PostgresDatabaseOptions",)


class PostgresDatabaseOptions(ServerDatabaseOptions, frozen=True, kw_only=True):
    """Options of the postgres configuration database."""

    pooler: Literal["none", "transaction"] = "none"
    """transaction works behind PgBouncer and its like in that mode, for one round trip more."""
