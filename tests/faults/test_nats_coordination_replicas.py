"""A tree that three NATS servers keep: whoever answers may not lead any more.

So what it does not know proves nothing; only what most of them have stored does.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends import open_coordination
from asyncbackends.errors import BackendError
from asyncbackends.protocols.coordination import SupportsArriving
from tests.servers.nats_cluster import NatsCluster
from tests.servers.nats_session_faults import NatsSessionFaults

TTL = 2.0
ELECTION = 20.0
"""A ttl that outlives the time without a leader, nine seconds at most, and a third since the last renewal."""
ROUNDS = 30

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def cluster() -> Iterator[NatsCluster]:
    with NatsCluster() as found:
        yield found


@pytest.fixture
def settings(cluster: NatsCluster) -> dict[str, Any]:
    return cluster.settings(
        namespace=f"t{uuid4().hex[:12]}", replicas=3, session_ttl=30.0, link_timeout=20.0
    )


@pytest.fixture
def holder_faults(cluster: NatsCluster, settings: dict[str, Any]) -> Iterator[NatsSessionFaults]:
    with NatsSessionFaults(cluster.members["one"], settings["namespace"]) as found:
        yield found


@pytest.fixture
def other_faults(cluster: NatsCluster, settings: dict[str, Any]) -> Iterator[NatsSessionFaults]:
    with NatsSessionFaults(cluster.members["two"], settings["namespace"]) as found:
        yield found


async def test_session_is_dead_only_once_its_end_is_stored(
    settings: dict[str, Any], holder_faults: NatsSessionFaults, other_faults: NatsSessionFaults
) -> None:
    """That one server has nothing of it is no proof: it may have missed renewals."""
    silent: dict[str, Any] = {**settings, "endpoints": holder_faults.endpoint, "session_ttl": TTL}
    other: dict[str, Any] = {
        **settings,
        "endpoints": other_faults.endpoint,
        "operation_timeout": 2.0,
    }
    async with open_coordination(**silent) as holder, open_coordination(**other) as waiter:
        held = await holder.contend("/lock")
        mine = await waiter.contend("/lock")
        holder_faults.freeze_renewals()
        # What it writes about sessions does not arrive.
        other_faults.freeze_renewals()
        await asyncio.sleep(TTL + 1)
        assert held.session_id not in holder_faults.tree.sessions()
        for look in (lambda: waiter.contenders("/lock"), lambda: waiter.read_node(held.path)):
            with pytest.raises(BackendError) as caught:
                await look()
            assert caught.value.retryable
        other_faults.thaw_renewals()
        assert await waiter.contenders("/lock") == [mine]
        assert await waiter.exists(held.path) is None


async def test_nobody_is_first_behind_one_that_changes_its_value(settings: dict[str, Any]) -> None:
    """What is listed has no order there, and what was changed stands behind what came later."""
    async with open_coordination(**settings) as one, open_coordination(**settings) as two:
        assert isinstance(two, SupportsArriving)
        for number in range(ROUNDS):
            path = f"/lock/{number}"
            held = await one.contend(path)
            arriving = asyncio.ensure_future(two.arrive(path))
            await asyncio.gather(*(one.update_node(held.path, b"%d" % i) for i in range(3)))
            ticket, is_first = await arriving
            assert not is_first
            assert await two.contenders(path) == [held, ticket]


async def test_withdrawn_entries_are_gone(settings: dict[str, Any]) -> None:
    async with open_coordination(**settings) as one, open_coordination(**settings) as two:
        for number in range(ROUNDS):
            path = f"/lock/{number % 3}"
            ticket = await one.contend(path)
            # Whoever knows nothing of it takes the long way.
            withdrawals = [client.withdraw(ticket) for client in (one, two, two)]
            await asyncio.gather(*withdrawals)
            assert await one.contenders(path) == []
            assert await two.exists(ticket.path) is None


async def test_leader_that_was_paused_ends_no_session(
    cluster: NatsCluster, settings: dict[str, Any]
) -> None:
    """By its clock all sessions are over when it goes on, for it heard of no renewals."""
    loop = asyncio.get_running_loop()
    own = {"session_ttl": ELECTION, "link_timeout": 2.0, "reconnect_max": 0.2}
    short: dict[str, Any] = {**settings, **own}
    async with open_coordination(**short) as holder, open_coordination(**short) as other:
        held = await holder.contend("/lock")
        session = holder.session
        name = await loop.run_in_executor(None, cluster.leader_of, f"ABC-{settings['namespace']}")
        leader = cluster.members[name]
        leader.process.freeze()
        try:
            await asyncio.sleep(ELECTION + 2)
        finally:
            leader.process.thaw()
        end = loop.time() + 3
        seen: list[bool] = []
        while loop.time() < end:
            with contextlib.suppress(BackendError):
                seen.append(held in await other.contenders("/lock"))
        assert seen
        assert all(seen)
        assert holder.session is session
