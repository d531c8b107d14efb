"""The mysql engine holds the contract on MariaDB or MySQL: with both drivers, on both event loops."""

from collections.abc import Generator
from typing import Any, ClassVar

import pytest

from asyncbackends.testing import ConfigDatabaseConformance
from tests.conformance.shortened import shortened
from tests.servers.mysql_namespaces import MysqlNamespaces
from tests.servers.running import Servers


@pytest.fixture(scope="module")
def namespaces(servers: Servers) -> MysqlNamespaces:
    return MysqlNamespaces(servers.get("mysql"))


class MysqlConformance(ConfigDatabaseConformance):
    engine = "mysql"
    driver: ClassVar[str]

    @pytest.fixture
    def settings(self, servers: Servers, namespaces: MysqlNamespaces) -> Generator[dict[str, Any]]:
        with namespaces.one() as namespace:
            yield servers.get("mysql").settings(driver=self.driver, namespace=namespace)


@shortened("default")
class TestMysqlOnAiomysql(MysqlConformance):
    driver = "aiomysql"


@shortened("newest")
class TestMysqlOnAsyncmy(MysqlConformance):
    driver = "asyncmy"
    event_loop = "uvloop"
