"""Three servers of a kind that lose the one that leads: sessions and locks go on."""

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from asyncbackends import DistributedCoordinationService, open_coordination
from asyncbackends.protocols.coordination import SessionState
from asyncbackends.recipes import Lock
from tests.faults.coordination_trials import (
    CoordinationTrial,
    RunCoordinationTrial,
    Seen,
    beside,
    each_coordination,
)
from tests.faults.server_trials import Ending
from tests.servers.ensembles import EtcdCluster, ZooKeeperEnsemble
from tests.servers.etcd import Etcd
from tests.servers.nats_cluster import NatsCluster
from tests.servers.proxy import Proxy
from tests.servers.server import Server
from tests.servers.zookeeper import ZooKeeper

FAIL_OVERS = {"ci": 1, "soak": 10}
TTL = 4.0
TICK = 0.5
LATEST = {"zookeeper": TTL + TICK + 0.5, "etcd": TTL + 1.0, "nats": TTL + 1.0}
"""Seconds after which the next one in line must hold what a dead client held."""

pytestmark = [each_coordination, pytest.mark.timeout(900)]

Cluster: TypeAlias = ZooKeeperEnsemble | EtcdCluster | NatsCluster


@pytest.mark.promise("coordination.fails-over")
def test_leader_is_lost(
    run_coordination_alone: RunCoordinationTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_coordination_alone(leader_is_lost))


class Three:
    """The three servers, whichever product they are."""

    def __init__(self, trial: CoordinationTrial) -> None:
        self._trial = trial
        self.cluster: Cluster
        server = trial.server
        if isinstance(server, ZooKeeper):
            self.cluster = ZooKeeperEnsemble(type(server))
        elif isinstance(server, Etcd):
            self.cluster = EtcdCluster(type(server))
        else:
            self.cluster = NatsCluster()

    @property
    def members(self) -> dict[str, Any]:
        return {**self.cluster.members}

    def leader(self) -> Server:
        """Give the server that leads what we use."""
        if isinstance(self.cluster, NatsCluster):
            name = self.cluster.leader_of(self._stream)
        else:
            name = self.cluster.leader()
        server: Server = self.members[name]
        return server

    def restore(self) -> None:
        """Start whoever is dead; what is lost next must be all that is missing."""
        self.cluster.start()
        if isinstance(self.cluster, NatsCluster):
            self.cluster.wait_for_copies(self._stream)

    @property
    def _stream(self) -> str:
        return f"ABC-{self._trial.namespace}"

    def settings(self, **others: Any) -> dict[str, Any]:
        own: dict[str, Any] = {
            "namespace": self._trial.namespace,
            "link_timeout": 2.0,
            "reconnect_max": 0.2,
            **({"replicas": 3} if isinstance(self.cluster, NatsCluster) else {}),
        }
        return self.cluster.settings(**{**own, **others})


async def leader_is_lost(trial: CoordinationTrial) -> str:
    """First the leader dies; then a client that holds a lock; then both at once."""
    three = Three(trial)
    await trial.fleet.do(three.cluster.__enter__)
    try:
        served, passed, both = await fail_overs(trial, three)
    finally:
        await trial.fleet.do(three.cluster.remove)
    assert max(passed) <= LATEST[trial.engine], passed
    return (
        f"{trial.engine}: {len(served)} leaders of three lost: writes went on after "
        f"{statistics.median(served):.2f} s (at most {max(served):.2f}) with the same sessions; a "
        f"dead client's lock passed on after at most {max(passed):.2f} s of {LATEST[trial.engine]:g}"
        f" with a ttl of {TTL:g} s, {max(both):.2f} s where the leader died with it"
    )


async def fail_overs(
    trial: CoordinationTrial, three: Three
) -> tuple[list[float], list[float], list[float]]:
    served: list[float] = []
    passed: list[float] = []
    both: list[float] = []
    seen = Seen()
    # A stream of NATS may be without a leader for nine seconds.
    async with open_coordination(**three.settings(session_ttl=30.0)) as one:
        session = one.session
        await one.create_node("/here/mine", b"1", ephemeral=True)
        async with beside(seen.follow(one.watch("/here", scope="tree", initial=True))):
            for number in range(FAIL_OVERS[trial.length]):
                held = await Lock(one, "/lock").acquire(10)
                leader = await trial.fleet.do(three.leader)
                await trial.fleet.do(leader.kill)
                served.append(await written(trial, one, f"/here/{number}"))
                await trial.session_is(one.session, SessionState.CONNECTED)
                assert one.session is session
                assert not held.lost.is_set()
                children = await one.get_children("/here")
                await seen.shows({"/here", *(f"/here/{name}" for name in children)})
                await held.release()
                await trial.fleet.do(three.restore)
                passed.append(await holder_dies(trial, three, one, leader=None))
                leader = await trial.fleet.do(three.leader)
                both.append(await holder_dies(trial, three, one, leader=leader))
                await trial.fleet.do(three.restore)
            assert await one.read_node("/here/mine") == b"1"
            assert one.session is session
    return served, passed, both


async def written(
    trial: CoordinationTrial, one: DistributedCoordinationService, path: str
) -> float:
    """Give the seconds until something new was made.

    What was on its way to the leader when it died may have no answer for long: nobody knows what
    became of it. So something new is tried now and then.
    """
    began = time.monotonic()
    async with asyncio.timeout(60):
        tries = 0
        pending: set[asyncio.Task[Ending]] = set()
        while True:
            pending.add(asyncio.create_task(trial.ending(one.create_node(f"{path}-{tries}"))))
            tries += 1
            done, pending = await asyncio.wait(
                pending, timeout=0.1, return_when=asyncio.FIRST_COMPLETED
            )
            if any(task.result().error is None for task in done):
                took = time.monotonic() - began
                if pending:
                    await asyncio.wait(pending)
                return took


async def holder_dies(
    trial: CoordinationTrial,
    three: Three,
    waiter: DistributedCoordinationService,
    *,
    leader: Server | None,
) -> float:
    """Cut a holder off for good, as its death would; give the seconds until another holds."""
    async with Proxy(three.members["two"].endpoint) as proxy:
        only_way = three.settings(endpoints=proxy.endpoint, session_ttl=TTL)
        async with open_coordination(**only_way) as holder:
            held = await Lock(holder, "/dying").acquire(10)
            waiting = asyncio.create_task(Lock(waiter, "/dying").acquire(60))
            await asyncio.sleep(TTL / 2)
            proxy.refuse = True
            if leader is not None:
                await trial.fleet.do(leader.kill)
            proxy.cut()
            began = time.monotonic()
            next_one = await waiting
            seconds = time.monotonic() - began
            assert held.lost.is_set()
            assert next_one.fence > held.fence
            await next_one.release()
            return seconds
