"""Namespaces on a MariaDB or MySQL server, used again when they are emptied.

Making tables takes these servers a third of a second, emptying them a hundredth.
"""

from collections.abc import Generator
from contextlib import contextmanager
from itertools import count

from tests.servers.server import DATABASE, CommandFailedError, DatabaseServer

__all__ = ("MysqlNamespaces",)

TABLES = (
    *("changes", "fence", "kv", "useragent", "share", "indexed"),
    *("ref", "elem", "doc", "state", "object", "counter", "meta"),
)
FILL = "INSERT INTO {0}_counter VALUES (1, 0, 0, 0); INSERT INTO {0}_meta VALUES ('version', '1');"


class MysqlNamespaces:
    """The namespaces of one server."""

    def __init__(self, server: DatabaseServer) -> None:
        self._server = server
        self._free: list[str] = []
        self._numbers = count(1)

    @contextmanager
    def one(self) -> Generator[str]:
        """Give one that is as if nobody had used it, but for its tables, which may be there."""
        name = self._free.pop() if self._free else f"n{next(self._numbers)}"
        yield name
        try:
            self.empty(name)
        except CommandFailedError:
            # It has no tables, or no longer those that it should have.
            return
        self._free.append(name)

    def empty(self, name: str) -> None:
        """Take everything away that is in the tables."""
        deletes = "".join(f"DELETE FROM {name}_{table};" for table in TABLES)  # noqa: S608  # ours
        self._server.sql(
            f"SET foreign_key_checks = 0; BEGIN; {deletes} {FILL.format(name)} COMMIT;",
            database=DATABASE,
        )
