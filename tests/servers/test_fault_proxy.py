"""The proxy that breaks links leaves nothing behind itself."""

import gc
import socket
import warnings

from tests.servers.etcd_faults import EtcdFaults
from tests.servers.running import Servers

ROUNDS = 100


def test_client_that_comes_while_it_closes_leaves_nothing(servers: Servers) -> None:
    server = servers.get("etcd")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for _ in range(ROUNDS):
            with EtcdFaults(server) as proxy:
                host, _, port = proxy.endpoint.rpartition(":")
                client = socket.create_connection((host, int(port)))
            client.close()
        gc.collect()
    assert [str(warning.message) for warning in warned] == []
