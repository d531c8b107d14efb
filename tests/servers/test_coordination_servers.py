"""The ZooKeeper and etcd servers of the harness: kills, accounts, and three of a kind."""

import pytest

from tests.servers.ensembles import EtcdCluster, ZooKeeperEnsemble
from tests.servers.etcd import Etcd
from tests.servers.running import Servers, product_of
from tests.servers.server import CommandFailedError
from tests.servers.zookeeper import ZooKeeper


@pytest.fixture
def newest(pytestconfig: pytest.Config) -> bool:
    return bool(pytestconfig.getoption("--servers") == "newest")


@pytest.mark.parametrize("engine", ["etcd"])
def test_what_is_put_outlives_a_kill(servers: Servers, engine: str) -> None:
    with servers.fresh("etcd") as server:
        server.ctl("put", "kept", "one")
        server.kill()
        with pytest.raises(CommandFailedError):
            server.ctl("get", "kept", "--command-timeout=1s")
        server.start()
        assert server.ctl("get", "kept", "--print-value-only") == "one\n"
        assert server.revision() > 1


@pytest.mark.parametrize("engine", ["etcd"])
def test_accounts_of_etcd_are_told_apart(servers: Servers, engine: str) -> None:
    with servers.fresh("etcd", accounts=True) as server:
        mine = server.username, server.password
        assert server.ctl("put", "mine", "one", login=mine) == "OK\n"
        server.add_role("other", "secret", ("readwrite", "theirs/", "theirs0"))
        server.ctl("put", "theirs/1", "one", login=("other", "secret"))
        with pytest.raises(CommandFailedError, match="permission denied"):
            server.ctl("put", "mine", "two", login=("other", "secret"))
        server.change_password("other", "another")
        with pytest.raises(CommandFailedError, match="authentication failed"):
            server.ctl("get", "theirs/1", login=("other", "secret"))
        server.restart()
        assert server.ctl("get", "theirs/1", login=("other", "another")) == "theirs/1\none\n"


@pytest.mark.parametrize("engine", ["zookeeper"])
def test_zookeeper_serves_again_after_a_kill(servers: Servers, engine: str) -> None:
    with servers.fresh("zookeeper") as server:
        assert server.mode() == "standalone"
        assert server.sessions() == []
        server.kill()
        assert server.mode() is None
        server.start()
        assert server.say("ruok") == "imok"


@pytest.mark.parametrize("engine", ["etcd", "zookeeper"])
def test_three_serve_on_without_their_leader(servers: Servers, engine: str, newest: bool) -> None:
    product = product_of(engine, newest=newest)
    ensemble: EtcdCluster | ZooKeeperEnsemble
    if issubclass(product, Etcd):
        ensemble = EtcdCluster(product, parent=servers.folder)
    else:
        assert issubclass(product, ZooKeeper)
        ensemble = ZooKeeperEnsemble(product, parent=servers.folder)
    with ensemble:
        assert len(ensemble.settings()["endpoints"].split(",")) == 3
        leader = ensemble.leader()
        if isinstance(ensemble, EtcdCluster):
            # It is one service: what one is told the others know.
            for name, member in ensemble.members.items():
                member.ctl("put", name, "one")
            for member in ensemble.members.values():
                assert member.ctl("get", "", "--prefix", "--keys-only").split() == [
                    *sorted(ensemble.members)
                ]
        ensemble.members[leader].kill()
        assert ensemble.leader() != leader
        ensemble.start()
        assert all(member.serves() for member in ensemble.members.values())
