"""The fixtures that every class of the kit builds on."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import pytest_asyncio

from asyncbackends.opening import open_config_database
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.testing.config_database.sample import KIT_SCHEMA, Site
from asyncbackends.testing.harness import AsyncioHarness, Harness

__all__ = ("DatabaseFixtures", "MakeDatabase", "OpenDatabase")

OpenDatabase = Callable[..., AbstractAsyncContextManager[ConfigDatabase]]
"""Takes options over those of ``settings``."""

MakeDatabase = Callable[..., ConfigDatabase]
"""The same, and gives the database unconnected."""


@pytest.mark.asyncio
class DatabaseFixtures:
    """What a class of the kit opens, and how; ``settings`` is the only one to be overridden.

    Over synchronous twins ``harness``, ``open_database`` and ``make_database`` are, too.
    """

    clients_share: bool = True
    """Whether a second open in this process, with the same settings, sees the same data."""

    @pytest.fixture
    def settings(self) -> Mapping[str, Any]:
        """Keyword arguments of ``open_config_database`` for a database that is empty."""
        message = "override the fixture `settings`: keyword arguments of open_config_database"
        raise NotImplementedError(message)

    @pytest.fixture
    def harness(self) -> Harness:
        """Give what the tests use for time and concurrency."""
        return AsyncioHarness()

    @pytest.fixture
    def open_database(self, settings: Mapping[str, Any]) -> OpenDatabase:
        """Open the database; a second time while the first is open gives a second client."""

        def opened(**options: Any) -> AbstractAsyncContextManager[ConfigDatabase]:
            merged: dict[str, Any] = {"schema": KIT_SCHEMA, **settings, **options}
            return open_config_database(**merged)

        return opened

    @pytest.fixture
    def make_database(self, settings: Mapping[str, Any]) -> MakeDatabase:
        """Make a database that is not connected."""

        def made(**options: Any) -> ConfigDatabase:
            merged: dict[str, Any] = {"schema": KIT_SCHEMA, **settings, **options}
            database: ConfigDatabase = open_config_database(**merged).resolved.backend()
            return database

        return made

    @pytest_asyncio.fixture
    async def database(self, open_database: OpenDatabase) -> AsyncGenerator[ConfigDatabase]:
        """Give the open database."""
        async with open_database() as database:
            yield database

    @pytest_asyncio.fixture
    async def other(
        self, database: ConfigDatabase, open_database: OpenDatabase
    ) -> AsyncGenerator[ConfigDatabase]:
        """Give a second client of the same data, or the same one where there can be none."""
        if not self.clients_share:
            yield database
            return
        async with open_database() as other:
            yield other

    @pytest_asyncio.fixture
    async def site(self, database: ConfigDatabase) -> Site:
        """Give a domain and a project in the database."""
        return await Site(database).prepare()
