"""Three servers of ZooKeeper or of etcd that elect a leader among them."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from tests.servers.ensemble import Ensemble
from tests.servers.etcd import Etcd
from tests.servers.server import CommandFailedError, Server
from tests.servers.zookeeper import ZooKeeper

__all__ = ("EtcdCluster", "ZooKeeperEnsemble")

MemberT = TypeVar("MemberT", bound=Server)


class _Led(Ensemble[MemberT]):
    """Those whose leader leads everything; one alone does not serve."""

    def __init__(self, members: Mapping[str, MemberT]) -> None:
        super().__init__(members)
        for member in self.members.values():
            member.is_alone = False

    def leader(self, *, patience: float = 30) -> str:
        """Name the member that leads; while there is none, it waits."""
        return self._until(self._leader, patience)

    def _leader(self) -> str | None:
        raise NotImplementedError


class ZooKeeperEnsemble(_Led[ZooKeeper]):
    """Three ZooKeeper servers."""

    def __init__(self, product: type[ZooKeeper] = ZooKeeper, **arguments: Any) -> None:
        """Choose ports and folders; nothing runs yet. Arguments as for ZooKeeper."""
        names = {"one": 1, "two": 2, "three": 3}
        super().__init__(
            {name: product(number=number, **arguments) for name, number in names.items()}
        )
        everyone = {each.number: each.peer for each in self.members.values()}
        for member in self.members.values():
            member.ensemble = everyone

    def _leader(self) -> str | None:
        for name, member in self.members.items():
            if member.is_running and member.mode() == "leader":
                return name
        return None


class EtcdCluster(_Led[Etcd]):
    """Three etcd servers."""

    def __init__(self, product: type[Etcd] = Etcd, **arguments: Any) -> None:
        """Choose ports and folders; nothing runs yet. Arguments as for Etcd."""
        super().__init__(
            {name: product(name=name, **arguments) for name in ("one", "two", "three")}
        )
        everyone = {name: each.peer for name, each in self.members.items()}
        for member in self.members.values():
            member.join(everyone)

    def _leader(self) -> str | None:
        for name, member in self.members.items():
            if not member.is_running:
                continue
            try:
                told = json.loads(member.ctl("endpoint", "status", "--write-out=json", patience=3))
            except (CommandFailedError, OSError, ValueError, TimeoutError):
                continue
            status = told[0]["Status"]
            if status.get("leader") == status["header"]["member_id"]:
                return name
        return None
