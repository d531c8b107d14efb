"""The postgres engine holds the contract: directly, and behind a pooler on another event loop."""

from collections.abc import Iterator
from typing import Any

import pytest

from asyncbackends.testing import ConfigDatabaseConformance
from tests.conformance.shortened import shortened
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgres import Postgres
from tests.servers.postgres_namespaces import PostgresNamespaces
from tests.servers.running import Servers


@pytest.fixture(scope="module")
def namespaces(servers: Servers) -> PostgresNamespaces:
    return PostgresNamespaces(servers.get("postgres"))


@pytest.fixture(scope="module")
def bouncer(servers: Servers) -> Iterator[PgBouncer]:
    server = servers.get("postgres")
    assert isinstance(server, Postgres)
    with PgBouncer(server) as bouncer:
        yield bouncer


class TestPostgres(ConfigDatabaseConformance):
    engine = "postgres"

    @pytest.fixture
    def settings(self, servers: Servers, namespaces: PostgresNamespaces) -> dict[str, Any]:
        return servers.get("postgres").settings(namespace=namespaces.one())


@shortened("default", "newest")
class TestPostgresBehindPgBouncer(ConfigDatabaseConformance):
    engine = "postgres"
    event_loop = "uvloop"

    @pytest.fixture
    def settings(self, bouncer: PgBouncer, namespaces: PostgresNamespaces) -> dict[str, Any]:
        return bouncer.settings(namespace=namespaces.one())
