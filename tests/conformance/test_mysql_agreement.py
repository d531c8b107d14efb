"""Random operations: the mysql engine gives the same answers as the one in memory."""

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack
from typing import Any, ClassVar

import pytest

from tests.conformance.test_agreement import Agreement
from tests.servers.mysql_namespaces import MysqlNamespaces
from tests.servers.running import Servers


class MysqlAgreement(Agreement):
    engine = "mysql"
    share = 0.6
    driver: ClassVar[str]

    @pytest.fixture
    def fresh_settings(self, servers: Servers) -> Generator[Callable[[], Mapping[str, Any]]]:
        server = servers.get("mysql")
        namespaces = MysqlNamespaces(server)
        with ExitStack() as stack:

            def fresh() -> Mapping[str, Any]:
                # The one before it is emptied, and used again.
                stack.close()
                namespace = stack.enter_context(namespaces.one())
                return server.settings(driver=self.driver, namespace=namespace)

            yield fresh


class TestAiomysqlAgreesWithMemory(MysqlAgreement):
    driver = "aiomysql"


class TestAsyncmyAgreesWithMemory(MysqlAgreement):
    driver = "asyncmy"
