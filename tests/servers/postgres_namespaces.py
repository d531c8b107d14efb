"""Namespaces on a PostgreSQL server: a fresh one for every test."""

import secrets

from tests.servers.server import DATABASE, DatabaseServer

__all__ = ("PostgresNamespaces",)

AT_ONCE = 25
"""So many are dropped together: that is cheap, one by one is not."""


class PostgresNamespaces:
    """The namespaces of one server."""

    def __init__(self, server: DatabaseServer) -> None:
        self._server = server
        self._used: list[str] = []

    def fresh(self) -> str:
        """Name a schema that is not there; nobody else is told of it."""
        name = f"n_{secrets.token_hex(6)}"
        self._used.append(name)
        return name

    def tidy(self) -> None:
        """Drop those that were named, if they are many; none of them is used any more."""
        if len(self._used) >= AT_ONCE:
            drops = (f'DROP SCHEMA IF EXISTS "{name}" CASCADE;' for name in self._used)
            self._server.sql("\n".join(drops), database=DATABASE)
            self._used.clear()
