"""What a trial of a database is: a scenario on a server that it may break, by one driver."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest

from asyncbackends import (
    NO_PARENT,
    ConfigDatabase,
    ObjectType,
    RefType,
    Schema,
    open_config_database,
)
from asyncbackends.opening import Opener
from tests.faults.database_products import PRODUCTS, ProductSql
from tests.faults.server_trials import Ending, ServerTrial
from tests.servers.server import DatabaseServer

__all__ = (
    "DRIVERS",
    "SCHEMA",
    "RunTrial",
    "Scenario",
    "Trial",
    "each_driver",
    "each_engine",
)

DRIVERS: Mapping[str, str] = {"asyncpg": "postgres", "aiomysql": "mysql", "asyncmy": "mysql"}

SCHEMA = Schema(
    {
        "project": ObjectType(),
        "network": ObjectType(lists={"servers": None}, refs={"network": RefType()}),
        "subnet": ObjectType(
            parents=("project", NO_PARENT),
            lists={"servers": None},
            refs={"network": RefType(), "subnet": RefType()},
        ),
    }
)

each_driver = pytest.mark.parametrize(
    ("driver", "engine"), [pytest.param(*one, id=one[0]) for one in DRIVERS.items()]
)
each_engine = pytest.mark.parametrize("engine", sorted({*DRIVERS.values()}))


@dataclass
class Trial(ServerTrial[DatabaseServer]):
    """One scenario on one server, by one driver."""

    driver: str

    @property
    def namespace(self) -> str:
        """What keeps it apart from others on one server."""
        return f"{self.name}_{self.driver}"

    @property
    def product(self) -> ProductSql:
        """How the server is asked and told what SQL has no common words for."""
        return PRODUCTS[self.engine]

    def settings(self, server: DatabaseServer | None = None, /, **others: Any) -> dict[str, Any]:
        """Give what opens a database on the trial's server, or another one, by its driver."""
        server = server or self.server
        self.secrets.add(server.password)
        # Only one of the engines has drivers to choose from.
        driver = {"driver": self.driver} if self.engine == "mysql" else {}
        own: dict[str, Any] = {
            "namespace": self.namespace,
            "schema": SCHEMA,
            "reconnect_max": 0.5,
            **driver,
        }
        return server.settings(**{**own, **others})

    def open(
        self, server: DatabaseServer | None = None, /, **others: Any
    ) -> Opener[ConfigDatabase]:
        """Open a database of the trial's namespace, with the trial's schema."""
        return open_config_database(**self.settings(server, **others))

    async def refusal(self, server: DatabaseServer | None = None, /, **others: Any) -> Ending:
        """Open a database that cannot be opened."""

        async def opened() -> None:
            async with self.open(server, **others):
                pass

        ending = await self.ending(opened())
        assert ending.error is not None, "it was opened"
        return ending

    # What is done to the server; all of it blocks, so a thread does it.

    async def restart(self) -> None:
        """Let it end in order, and start it again."""
        await self.fleet.do(self.server.restart)

    async def sql(self, statement: str, database: str | None = None) -> str:
        """Run statements as the superuser."""
        if database is None:
            return await self.fleet.do(self.server.sql, statement)
        return await self.fleet.do(self.server.sql, statement, database=database)

    async def connections(self) -> int:
        """Count the connections that the server sees of us."""
        return int(await self.sql(self.product.connections))

    async def connected_to_nobody(self) -> bool:
        """Say whether the server sees no connection of ours."""
        return await self.connections() == 0

    async def finish(self) -> None:
        """See that nothing is left on the server."""
        await self.settled(self.connected_to_nobody, "connections are left on the server")

    async def stop_writes(self) -> None:
        """Let the server take no writes."""
        await self._change_writes(self.product.read_only, 1)

    async def allow_writes(self) -> None:
        """Let the server take writes again."""
        await self._change_writes(self.product.writable, 0)

    async def _change_writes(self, statement: str, wanted: int) -> None:
        await self.sql(statement)

        async def is_known() -> bool:
            # A connection that is opened later than all others have been told.
            found = await self.sql(self.product.takes_no_writes)
            return self.product.last_number(found) == wanted

        await self.settled(is_known, "the server does not do what it was told of writes")

    async def end_connections(self) -> None:
        """End them on the server, as an administrator does."""
        ids = {*(await self.sql(self.product.ids)).split()}
        await self.sql("\n".join(self.product.end.format(id=one) for one in ids))

        async def have_gone() -> bool:
            return not ids & {*(await self.sql(self.product.ids)).split()}

        # It tells them to end, and they do soon.
        await self.settled(have_gone, "connections do not end")


Scenario: TypeAlias = Callable[[Trial], Coroutine[Any, Any, str]]
"""What is tried; it gives the figure for the promise."""

RunTrial: TypeAlias = Callable[[Scenario], str]
"""Runs the scenario of a test, or gives what came of it, for the test's driver."""
