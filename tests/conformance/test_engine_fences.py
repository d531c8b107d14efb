"""Databases refuse the writes of who held a lock of a real coordination service too long."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends import open_coordination
from asyncbackends.errors import LeadershipLostError, SessionLostError, StaleFenceError
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.recipes import Election, Lock
from asyncbackends.testing.config_database.sample import Site
from tests.conformance.fenced_databases import FENCED, database, database_settings, mysql, postgres
from tests.faults.coordination_products import product_for
from tests.faults.coordination_trials import ENGINES
from tests.servers.proxy import Proxy
from tests.servers.running import Servers

__all__ = ("database", "database_settings", "mysql", "postgres")

NETWORK = "virtual_network"
PATH = "/sites/1"

pytestmark = [
    pytest.mark.promise("lock.stale-fence-is-refused"),
    pytest.mark.parametrize("engine", ENGINES),
    pytest.mark.parametrize("stored", FENCED),
]


class Service:
    """A coordination service that forgets sessions on demand."""

    def __init__(self, servers: Servers, engine: str) -> None:
        self._server = servers.get(engine)
        self._namespace = f"fenced{uuid4().hex[:12]}"

    @property
    def endpoint(self) -> str:
        return self._server.endpoint

    def client(self, **others: Any) -> Any:
        return open_coordination(
            **self._server.settings(
                namespace=self._namespace, session_ttl=30, link_timeout=2, reconnect_max=0.2
            )
            | others
        )

    def forget(self, session_id: str) -> None:
        product_for(self._server).expire(self._namespace, session_id)


@pytest.fixture
def service(servers: Servers, engine: str) -> Service:
    return Service(servers, engine)


async def test_stale_holder_is_refused(database: ConfigDatabase, service: Service) -> None:
    uuid = await (await Site(database).prepare()).network()
    async with (
        Proxy(service.endpoint) as proxy,
        service.client(endpoints=proxy.endpoint) as one,
        service.client() as two,
    ):
        with pytest.raises(SessionLostError):
            async with Lock(one, PATH) as held:
                await database.object_update(NETWORK, uuid, {"mtu": 1}, fence=held.fence)
                # Nobody tells the holder; by its own clock it still is one.
                proxy.freeze()
                service.forget(one.session.id)
                async with Lock(two, PATH) as after:
                    await database.object_update(NETWORK, uuid, {"mtu": 2}, fence=after.fence)
                with pytest.raises(StaleFenceError) as refusal:
                    await database.object_update(NETWORK, uuid, {"mtu": 3}, fence=held.fence)
                assert refusal.value.name == held.fence.name
                assert refusal.value.fence == held.fence.order
                assert refusal.value.highest == after.fence.order
                assert held.remaining() > 0
                proxy.thaw()
                await asyncio.wait_for(held.lost.wait(), 10)
        assert (await database.object_get(NETWORK, uuid))["mtu"] == 2
        async with Lock(one, PATH) as again:
            await database.object_update(NETWORK, uuid, {"mtu": 4}, fence=again.fence)
    assert (await database.object_get(NETWORK, uuid))["mtu"] == 4


async def test_stale_leader_is_refused(database: ConfigDatabase, service: Service) -> None:
    uuid = await (await Site(database).prepare()).network()
    async with (
        Proxy(service.endpoint) as proxy,
        service.client(endpoints=proxy.endpoint) as one,
        service.client() as two,
    ):
        with pytest.raises(LeadershipLostError):
            async with Election(one, PATH, "one").lead() as term:
                # Nobody tells the holder; by its own clock it still is one.
                proxy.freeze()
                service.forget(one.session.id)
                async with Election(two, PATH, "two").lead() as after:
                    await database.object_update(NETWORK, uuid, {"mtu": 2}, fence=after.fence)
                with pytest.raises(StaleFenceError):
                    async with database.batch(fence=term.fence) as batch:
                        batch.object_update(NETWORK, uuid, {"mtu": 1})
                proxy.thaw()
                await asyncio.wait_for(term.lost.wait(), 10)
    assert (await database.object_get(NETWORK, uuid))["mtu"] == 2
