"""Three servers of ZooKeeper or of etcd that elect a leader among them."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from tests.servers.etcd import Etcd
from tests.servers.server import CommandFailedError, Server
from tests.servers.zookeeper import ZooKeeper

__all__ = ("EtcdCluster", "ZooKeeperEnsemble")

MemberT = TypeVar("MemberT", bound=Server)
FoundT = TypeVar("FoundT")
POLL = 0.05


class _Ensemble(Generic[MemberT]):
    """``with`` starts them, and ends them and removes their data.

    ``members["one"].kill()`` and all else that a server has.
    """

    def __init__(self, members: Mapping[str, MemberT]) -> None:
        self.members = dict(members)
        for member in self.members.values():
            member.is_alone = False

    @property
    def endpoints(self) -> str:
        """Where they serve, split by commas."""
        return ",".join(member.endpoint for member in self.members.values())

    def settings(self, **others: Any) -> dict[str, Any]:
        """Give the arguments of ``open_coordination``."""
        first = next(iter(self.members.values()))
        return first.settings(**{"endpoints": self.endpoints, **others})

    def start(self, *, patience: float = 60) -> None:
        """Start those that do not run; returns when all serve."""
        for member in self.members.values():
            if not member.is_running:
                member.start()
        self._until(lambda: all(each.serves() for each in self.members.values()), patience)

    def leader(self, *, patience: float = 30) -> str:
        """Name the member that leads; while there is none, it waits."""
        return self._until(self._leader, patience)

    def _leader(self) -> str | None:
        raise NotImplementedError

    def _until(self, ask: Callable[[], FoundT | None], patience: float) -> FoundT:
        deadline = time.monotonic() + patience
        while not (found := ask()):
            if time.monotonic() > deadline:
                logs = ", ".join(str(member.process.log) for member in self.members.values())
                raise CommandFailedError(f"there is no leader; their logs: {logs}")
            time.sleep(POLL)
        return found

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def remove(self) -> None:
        """End them and remove their data."""
        with ExitStack() as stack:
            for member in self.members.values():
                stack.callback(member.remove)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()


class ZooKeeperEnsemble(_Ensemble[ZooKeeper]):
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


class EtcdCluster(_Ensemble[Etcd]):
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
