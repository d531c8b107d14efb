"""What tests do to a coordination service behind its clients' back, and see of it, by product."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import psutil

from tests.faults.zookeeper_sessions import close_session
from tests.servers.etcd import Etcd
from tests.servers.nats import Nats
from tests.servers.nats_tree import NatsTree
from tests.servers.server import HOST, CommandFailedError, Server
from tests.servers.zookeeper import ZooKeeper

__all__ = (
    "CoordinationProduct",
    "coordination_arguments",
    "product_for",
    "seen_connections",
    "stream_of",
)


class CoordinationProduct(ABC):
    """Everything blocks. Sessions are named as clients do."""

    @abstractmethod
    def sessions(self, namespace: str) -> set[str]:
        """Give the ids of the sessions that it knows."""

    @abstractmethod
    def expire(self, namespace: str, session_id: str) -> None:
        """Forget a session, with all that belongs to it.

        :raises CommandFailedError: it does not know the session, or does not answer.
        """

    @abstractmethod
    def stored(self, namespace: str) -> int:
        """Count what is stored for a namespace, bookkeeping included."""

    @abstractmethod
    def watches(self, namespace: str) -> int:
        """Count who is told of changes."""

    @abstractmethod
    def change_password(self, password: str) -> None:
        """Give the account another password."""


def product_for(server: Server) -> CoordinationProduct:
    """Give what can be done to this server."""
    if isinstance(server, ZooKeeper):
        return ZooKeeperProduct(server)
    if isinstance(server, Etcd):
        return EtcdProduct(server)
    assert isinstance(server, Nats)
    return NatsProduct(server)


def coordination_arguments(engine: str, **others: Any) -> dict[str, Any]:
    """Give the arguments of a server that demands a login, where it can."""
    return {**({} if engine == "zookeeper" else {"accounts": True}), **others}


def seen_connections(server: Server) -> int:
    """Count the connections that a server has accepted and not closed."""
    if not server.is_running:
        return 0
    found = [
        one
        for one in psutil.Process(server.process.pid).net_connections("tcp")
        if one.status == psutil.CONN_ESTABLISHED and one.raddr
    ]
    # etcd is a client of its own, too.
    itself = {one.laddr.port for one in found if one.raddr.port == server.port}
    return sum(one.laddr.port == server.port and one.raddr.port not in itself for one in found)


class ZooKeeperProduct(CoordinationProduct):
    """ZooKeeper tells by words of four letters; a session's number is enough to end it."""

    def __init__(self, server: ZooKeeper) -> None:
        self.server = server

    def sessions(self, namespace: str) -> set[str]:
        return {*self.server.sessions()}

    def expire(self, namespace: str, session_id: str) -> None:
        if not close_session(HOST, self.server.port, int(session_id, 16)):
            raise CommandFailedError(f"{self.server} does not know session {session_id}")

    def stored(self, namespace: str) -> int:
        found = re.search(r"^Node count: (\d+)", self.server.say("srvr"), re.MULTILINE)
        assert found is not None
        return int(found[1])

    def watches(self, namespace: str) -> int:
        found = re.search(r"^Total watches:(\d+)", self.server.say("wchs"), re.MULTILINE)
        assert found is not None
        return int(found[1])

    def change_password(self, password: str) -> None:
        raise NotImplementedError("everybody brings a password of its own")


class EtcdProduct(CoordinationProduct):
    """etcd is asked by its own command line tool."""

    def __init__(self, server: Etcd) -> None:
        self.server = server

    def sessions(self, namespace: str) -> set[str]:
        found = json.loads(self.server.ctl("lease", "list", "--write-out=json"))
        return {f"{one['id']:x}" for one in found.get("leases") or ()}

    def expire(self, namespace: str, session_id: str) -> None:
        self.server.ctl("lease", "revoke", session_id)

    def stored(self, namespace: str) -> int:
        found = self.server.ctl("get", "", "--from-key", "--count-only", "--write-out=fields")
        counted = re.search(r'^"Count" : (\d+)', found, re.MULTILINE)
        assert counted is not None
        return int(counted[1])

    def watches(self, namespace: str) -> int:
        return 0

    def change_password(self, password: str) -> None:
        self.server.change_password(self.server.username, password)


class NatsProduct(CoordinationProduct):
    """A service is one stream of NATS."""

    def __init__(self, server: Nats) -> None:
        self.server = server

    def sessions(self, namespace: str) -> set[str]:
        return NatsTree(self.server, namespace).sessions()

    def expire(self, namespace: str, session_id: str) -> None:
        NatsTree(self.server, namespace).expire(session_id)

    def stored(self, namespace: str) -> int:
        # Ends stay for two minutes, and go by themselves.
        tree = NatsTree(self.server, namespace)
        return len(tree.nodes()) + len(tree.sessions())

    def watches(self, namespace: str) -> int:
        return int(self._stream(namespace)["consumer_count"])

    def change_password(self, password: str) -> None:
        self.server.change_password(self.server.username, password)

    def _stream(self, namespace: str) -> Mapping[str, Any]:
        state: Mapping[str, Any] = self._ask(f"STREAM.INFO.{stream_of(namespace)}")["state"]
        return state

    def _ask(self, operation: str, content: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        answer = self.server.ask(f"$JS.API.{operation}", content, patience=5)
        assert "error" not in answer, f"{operation}: {answer['error']}"
        return answer


def stream_of(namespace: str) -> str:
    """Name the stream of a service, as NATS has it."""
    return f"ABC-{namespace}"
