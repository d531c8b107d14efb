"""Namespaces on a PostgreSQL server, used again when they are emptied.

Making tables costs 50 ms, emptying them 2 ms, and asking the server by its own client as much as
making them: so it is asked once for many.
"""

import secrets

from tests.servers.server import DATABASE, DatabaseServer

__all__ = ("PostgresNamespaces",)

AT_ONCE = 25
LATE = 3
"""So many used last are left alone: the server may be about to stop what was cancelled there."""

EMPTY = """
DO $$BEGIN IF to_regclass('{0}.meta') IS NOT NULL THEN
    DELETE FROM {0}.ref; UPDATE {0}.object SET parent_uuid = NULL WHERE parent_uuid IS NOT NULL;
    DELETE FROM {0}.object; DELETE FROM {0}.useragent; DELETE FROM {0}.kv; DELETE FROM {0}.fence;
    DELETE FROM {0}.changes; DELETE FROM {0}.meta WHERE name <> 'version';
    UPDATE {0}.counter SET revision = 0, compacted = 0, stamp = 0;
END IF; END$$;
"""


class PostgresNamespaces:
    """The namespaces of one server."""

    def __init__(self, server: DatabaseServer) -> None:
        self._server = server
        self._free: list[str] = []
        self._used: list[str] = []

    def one(self) -> str:
        """Name one that is as if nobody had used it, but for its tables, which may be there."""
        if not self._free and len(self._used) >= AT_ONCE + LATE:
            self._free, self._used = self._used[:-LATE], self._used[-LATE:]
            self._server.sql("".join(map(EMPTY.format, self._free)), database=DATABASE)
        name = self._free.pop(0) if self._free else f"n_{secrets.token_hex(6)}"
        self._used.append(name)
        return name
