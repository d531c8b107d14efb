"""Random operations: the postgres engine gives the same answers as the one in memory."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.conformance.test_agreement import Agreement
from tests.servers.postgres_namespaces import PostgresNamespaces
from tests.servers.running import Servers


class TestPostgresAgreesWithMemory(Agreement):
    engine = "postgres"
    share = 0.4

    @pytest.fixture
    def fresh_settings(self, servers: Servers) -> Callable[[], Mapping[str, Any]]:
        server = servers.get("postgres")
        namespaces = PostgresNamespaces(server)
        return lambda: server.settings(namespace=namespaces.one())
