"""The databases whose writes name a fence."""

import contextlib
from collections.abc import AsyncGenerator, Generator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends import open_config_database
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.testing.config_database.sample import KIT_SCHEMA, Site
from tests.servers.mysql_namespaces import MysqlNamespaces
from tests.servers.postgres_namespaces import PostgresNamespaces
from tests.servers.running import Servers

__all__ = ("FENCED", "database", "database_settings", "mysql", "postgres", "site")

FENCED = ("memory", "sqlite", "postgres", "mysql")
"""Values of the parameter ``stored``."""


@pytest.fixture(scope="module")
def postgres(servers: Servers) -> PostgresNamespaces:
    return PostgresNamespaces(servers.get("postgres"))


@pytest.fixture(scope="module")
def mysql(servers: Servers) -> MysqlNamespaces:
    return MysqlNamespaces(servers.get("mysql"))


@pytest.fixture
def database_settings(
    stored: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Generator[Mapping[str, Any]]:
    places = {"memory": f"fenced-{uuid4()}", "sqlite": str(tmp_path / "site.db")}
    if stored in places:
        yield {"engine": stored, "endpoints": places[stored], "schema": KIT_SCHEMA}
        return
    # Only now: whoever runs the others alone starts no server.
    namespaces: PostgresNamespaces | MysqlNamespaces = request.getfixturevalue(stored)
    server = request.getfixturevalue("servers").get(stored)
    with contextlib.ExitStack() as stack:
        if isinstance(namespaces, MysqlNamespaces):
            namespace = stack.enter_context(namespaces.one())
        else:
            namespace = namespaces.one()
        yield server.settings(namespace=namespace, schema=KIT_SCHEMA)


@pytest.fixture
async def database(database_settings: Mapping[str, Any]) -> AsyncGenerator[ConfigDatabase]:
    async with open_config_database(**database_settings) as database:
        yield database


@pytest.fixture
async def site(database: ConfigDatabase) -> Site:
    return await Site(database).prepare()
