"""Where the kit of coordination finds a real server, and the proxy that breaks links to it."""

from contextlib import AbstractAsyncContextManager
from itertools import count
from typing import Any, Protocol
from uuid import uuid4

import pytest

from asyncbackends import DistributedCoordinationService, open_coordination
from asyncbackends.testing.coordination.fixtures import OpenCoordination, SessionFaults
from tests.servers.ensemble import Ensemble
from tests.servers.running import Servers

__all__ = ("BehindAProxy", "OnAServer", "OnAnEnsemble", "ProxiedFaults", "namespace")


@pytest.fixture
def namespace() -> str:
    return f"t{uuid4().hex[:12]}"


class ProxiedFaults(SessionFaults, Protocol):
    """Faults on the way to a server."""

    endpoint: str


class OnAServer:
    """Settings of the run's server of ``engine``, in a namespace of their own."""

    engine: str

    @pytest.fixture
    def settings(self, servers: Servers, namespace: str) -> dict[str, Any]:
        return servers.get(self.engine).settings(namespace=namespace)


class BehindAProxy:
    """The same by way of ``proxied``, a fixture of the module."""

    engine: str
    reconnect_max = 0.05

    @pytest.fixture
    def settings(self, servers: Servers, namespace: str, proxied: ProxiedFaults) -> dict[str, Any]:
        return servers.get(self.engine).settings(
            namespace=namespace, endpoints=proxied.endpoint, reconnect_max=self.reconnect_max
        )

    @pytest.fixture
    def faults(self, proxied: ProxiedFaults) -> SessionFaults:
        return proxied


class OnAnEnsemble:
    """Of ``ensemble``, a fixture of the module, each client asks another server first."""

    @pytest.fixture
    def settings(self, ensemble: Ensemble[Any], namespace: str) -> dict[str, Any]:
        return ensemble.settings(namespace=namespace)

    @pytest.fixture
    def open_coordination(self, settings: dict[str, Any]) -> OpenCoordination:
        endpoints = settings["endpoints"].split(",")
        turns = count()

        def opened(
            **options: Any,
        ) -> AbstractAsyncContextManager[DistributedCoordinationService]:
            first = next(turns) % len(endpoints)
            turned = ",".join(endpoints[first:] + endpoints[:first])
            return open_coordination(**{**settings, "endpoints": turned, **options})

        return opened
