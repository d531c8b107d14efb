"""The NATS servers of the harness: accounts, and three that stand in for one another."""

import json
import socket

import pytest

from tests.servers.nats_cluster import NatsCluster
from tests.servers.running import Servers
from tests.servers.server import HOST, CommandFailedError

ENGINE = pytest.mark.parametrize("engine", ["nats"])
STREAM = {"name": "kept", "subjects": ["kept.>"], "num_replicas": 3}


@ENGINE
def test_accounts_are_told_apart(servers: Servers, engine: str) -> None:
    denied = '{publish: {deny: ["secret"]}}'
    with servers.fresh("nats", accounts=True, permissions=denied) as server:
        settings = server.settings()
        mine = settings["username"], settings["password"]
        assert says(server.port, mine, "PUB open 0\n\n") == "PONG"
        assert "Permissions Violation" in says(server.port, mine, "PUB secret 0\n\n")
        wrong = (settings["username"], "wrong")
        assert "Authorization Violation" in says(server.port, wrong, "")
        server.set_permissions(server.username, "")
        assert says(server.port, mine, "PUB secret 0\n\n") == "PONG"
        server.add_user("other", "one")
        assert says(server.port, ("other", "one"), "PUB secret 0\n\n") == "PONG"
        server.change_password("other", "two")
        assert "Authorization Violation" in says(server.port, ("other", "one"), "")
        server.delete_user("other")
        assert "Authorization Violation" in says(server.port, ("other", "two"), "")


@ENGINE
def test_a_stream_outlives_a_kill(servers: Servers, engine: str) -> None:
    options = {"jetstream.sync_interval": "always"}
    with servers.fresh("nats", options=options) as server:
        server.ask("$JS.API.STREAM.CREATE.kept", {**STREAM, "num_replicas": 1})
        assert server.ask("kept.one", {"id": 7})["seq"] == 1
        server.kill()
        with pytest.raises(CommandFailedError, match="does not answer"):
            server.ask("$JS.API.INFO")
        server.start()
        assert server.ask("$JS.API.STREAM.INFO.kept")["state"]["messages"] == 1


@ENGINE
def test_a_cluster_serves_on_without_its_leader(servers: Servers, engine: str) -> None:
    with NatsCluster(parent=servers.folder) as cluster:
        assert len(cluster.settings()["endpoints"].split(",")) == 3
        cluster.ask("$JS.API.STREAM.CREATE.kept", STREAM)
        leader = cluster.leader_of("kept")
        assert cluster.members[leader].ask("kept.one", {"id": 7})["seq"] == 1
        cluster.members[leader].kill()
        next_one = cluster.leader_of("kept")
        assert next_one != leader
        assert cluster.members[next_one].ask("kept.one", {"id": 8})["seq"] == 2
        cluster.start()
        cluster.wait_for_copies("kept")
        assert cluster.ask("$JS.API.STREAM.INFO.kept")["state"]["messages"] == 2


def says(port: int, login: tuple[str, str], order: str) -> str:
    """Log in and give an order; give what the server says to it: an error, or that all is well."""
    connect = json.dumps({"verbose": True, "user": login[0], "pass": login[1]})
    with (
        socket.create_connection((HOST, port), timeout=5) as link,
        link.makefile("rw", newline="\r\n") as stream,
    ):
        stream.readline()
        stream.write(f"CONNECT {connect}\n{order}PING\n")
        stream.flush()
        for line in stream:
            if line.startswith(("PONG", "-ERR")):
                return line.strip()
        return ""
