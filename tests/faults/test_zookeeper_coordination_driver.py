"""What is known of aiozk, on a real server: each trap, and that we are not in it.

The names hold the numbers of the faults that were found in the driver. Its containers (Z14) and its
recipes (Z15) are not used.
"""

import asyncio
import struct
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import psutil
import pytest

from asyncbackends import ConnectionState, DistributedCoordinationService, open_coordination
from asyncbackends.errors import (
    AccessDeniedError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    InvalidRequestError,
    NodeExistsError,
    NodeNotFoundError,
    NotSupportedError,
    SessionLostError,
    TransactionFailedError,
)
from asyncbackends.protocols.coordination import Session, SessionState
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.nodes import NodeEvent
from asyncbackends.recipes import Lock
from tests.servers.process import free_port
from tests.servers.proxy import Proxy
from tests.servers.running import Servers
from tests.servers.zookeeper import ZooKeeper
from tests.servers.zookeeper_faults import ZooKeeperFaults

QUICK = 3.0
"""Seconds, where the driver takes many more or for ever."""


@pytest.fixture
def namespace() -> str:
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def server(servers: Servers) -> ZooKeeper:
    found = servers.get("zookeeper")
    assert isinstance(found, ZooKeeper)
    return found


@pytest.fixture(scope="module")
def own_server(servers: Servers) -> Iterator[ZooKeeper]:
    """A server that may be broken."""
    with servers.fresh("zookeeper", durable=True) as found:
        yield found


@pytest.fixture
def faults(server: ZooKeeper) -> Iterator[ZooKeeperFaults]:
    with ZooKeeperFaults(server) as found:
        yield found


async def until(coordination: DistributedCoordinationService, state: ConnectionState) -> float:
    """Wait for a state of the link; give when it was."""
    async with asyncio.timeout(20), coordination.states() as states:
        async for status in states:
            if status.state is state:
                return time.monotonic()
    raise AssertionError("it is over")


async def connected(session: Session) -> None:
    async with asyncio.timeout(20), session.states() as states:
        async for state in states:
            if state is SessionState.CONNECTED:
                return


@asynccontextmanager
async def truncating(server: ZooKeeper) -> AsyncGenerator[tuple[str, list[int]]]:
    """Give where a client's first reply of 40 bytes and more ends in its middle, while told to."""
    left = [0]

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cuts: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if cuts and left[0]:
                    left[0] -= 1
                    writer.write(data[: len(data) // 2])
                    break
                writer.write(data)
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = server.endpoint.rpartition(":")
        from_server, to_server = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pump(reader, to_server, False), pump(from_server, writer, True))

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        host, port = listening.sockets[0].getsockname()
        yield f"{host}:{port}", left


async def test_coordination_z1_waiters_get_their_lock_after_a_restart(
    own_server: ZooKeeper, namespace: str
) -> None:
    settings = own_server.settings(namespace=namespace, session_ttl=20)
    async with open_coordination(**settings) as holder, open_coordination(**settings) as waiter:
        held = await Lock(holder, "/lock").acquire(5)
        waiting = asyncio.create_task(Lock(waiter, "/lock").acquire(30))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(own_server.kill)
        await asyncio.to_thread(own_server.start)
        await connected(holder.session)
        await connected(waiter.session)
        assert not waiting.done()
        await held.release()
        async with asyncio.timeout(QUICK):
            later = await waiting
        assert later.fence > held.fence
        await later.release()


async def test_coordination_z2_z3_z4_a_killed_server_is_noticed_and_the_session_goes_on(
    own_server: ZooKeeper, namespace: str
) -> None:
    settings = own_server.settings(namespace=namespace, session_ttl=20, reconnect_max=0.5)
    async with open_coordination(**settings) as client:
        session = client.session
        stat = await client.create_node("/mine", ephemeral=True)
        noticing = asyncio.create_task(until(client, ConnectionState.DISCONNECTED))
        await asyncio.sleep(0.1)
        killing = time.monotonic()
        await asyncio.to_thread(own_server.kill)
        # Z2: the driver waits for its heartbeat, that is for the whole session.
        assert await noticing - killing < 1
        # Z4: the port is open before the server serves; the driver then forgets its session.
        await asyncio.to_thread(own_server.start)
        serving = time.monotonic()
        await connected(session)
        # Z3: the driver tries again after 4 s, 8 s, 16 s.
        assert time.monotonic() - serving < QUICK
        assert client.session is session
        assert await client.exists("/mine") == stat


async def test_coordination_z5_silent_endpoint_is_passed_over(
    server: ZooKeeper, namespace: str
) -> None:
    async with Proxy(server.endpoint) as silent:
        silent.freeze()
        endpoints = [silent.endpoint, server.endpoint]
        began = time.monotonic()
        async with open_coordination(
            **server.settings(namespace=namespace, endpoints=endpoints, connect_timeout=2)
        ) as client:
            assert time.monotonic() - began < QUICK
            await client.create_node("/a")
        with pytest.raises(ConnectionFailedError, match="within 1 s"):
            async with open_coordination(
                **server.settings(endpoints=silent.endpoint, connect_timeout=1)
            ):
                pytest.fail("it was opened")


async def test_coordination_z6_truncated_reply_is_a_lost_link(
    server: ZooKeeper, namespace: str
) -> None:
    async with truncating(server) as (endpoint, left):
        settings = server.settings(namespace=namespace, endpoints=endpoint)
        async with open_coordination(**settings) as client:
            await client.create_node("/a", b"x" * 1000)
            used = psutil.Process().cpu_times()
            for _ in range(5):
                left[0] = 1
                assert await client.read_node("/a") == b"x" * 1000
            now = psutil.Process().cpu_times()
            # The driver turns round in circles for seconds, and in 3.12 the loop with it.
            assert now.user - used.user < 1


async def test_coordination_z7_cancelled_waiter_leaves_no_node(
    server: ZooKeeper, namespace: str
) -> None:
    settings = server.settings(namespace=namespace)
    async with open_coordination(**settings) as one, open_coordination(**settings) as two:
        held = await Lock(one, "/lock").acquire(5)
        waiting = asyncio.create_task(Lock(two, "/lock").acquire(30))
        await asyncio.sleep(0.1)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert [ticket.path for ticket in await one.contenders("/lock")] == [held.ticket.path]
        await held.release()
        async with asyncio.timeout(QUICK):
            await (await Lock(two, "/lock").acquire(5)).release()


async def test_coordination_z8_lost_session_ends_what_it_held(
    server: ZooKeeper, namespace: str, faults: ZooKeeperFaults
) -> None:
    settings = server.settings(namespace=namespace, endpoints=faults.endpoint, session_ttl=2)
    async with open_coordination(**settings) as client:
        session = client.session

        async def hold() -> None:
            async with Lock(client, "/lock"):
                faults.freeze_renewals()
                await asyncio.sleep(60)

        async with asyncio.timeout(10):
            with pytest.raises(SessionLostError):
                await hold()
        assert session.state is SessionState.LOST
        faults.thaw_renewals()


async def test_coordination_z9_lost_reply_is_told_and_leaves_no_orphan(
    server: ZooKeeper, namespace: str, faults: ZooKeeperFaults
) -> None:
    settings = server.settings(namespace=namespace, endpoints=faults.endpoint)
    async with open_coordination(**settings) as client:
        faults.lose_reply("create_node")
        with pytest.raises(ConnectionLostError) as doubt:
            await client.create_node("/a", b"1")
        assert doubt.value.maybe_applied
        assert await client.read_node("/a") == b"1"
        faults.lose_reply("contend")
        ticket = await client.contend("/line")
        assert await client.contenders("/line") == [ticket]


async def test_coordination_z10_nothing_too_large_is_sent(
    server: ZooKeeper, namespace: str
) -> None:
    async with open_coordination(**server.settings(namespace=namespace)) as client:
        session = client.session
        with pytest.raises(InvalidRequestError, match="1000000 bytes"):
            await client.create_node("/a", b"x" * 1_000_001)
        await client.create_node("/a", b"x" * 1_000_000)
        assert len(await client.read_node("/a")) == 1_000_000
        # The paths of the parents come on top of it: 2 MB, which is more than a server takes.
        deep = "/deep" + "/dd" * 1300
        with pytest.raises(InvalidRequestError, match=r"jute\.maxbuffer"):
            await client.create_node(deep)
        assert client.state is ConnectionState.CONNECTED
        assert session.state is SessionState.CONNECTED


async def test_coordination_z11_versions_are_those_of_the_server(
    server: ZooKeeper, namespace: str
) -> None:
    settings = server.settings(namespace=namespace)
    async with open_coordination(**settings) as one, open_coordination(**settings) as two:
        stat = await one.create_node("/a", b"1")
        await one.read_node("/a")
        await two.update_node("/a", b"2")
        # The driver compares with what it has once read, whoever has written since.
        await one.update_node("/a", b"3")
        await two.update_node("/a", b"4")
        await one.delete_node("/a")
        again = await two.create_node("/a", b"1")
        # ZooKeeper's own version is 0 again.
        assert again.version != stat.version


async def test_coordination_z12_tree_is_deleted_at_once(server: ZooKeeper, namespace: str) -> None:
    async with Proxy(server.endpoint) as proxy:
        settings = server.settings(namespace=namespace, endpoints=proxy.endpoint)
        async with open_coordination(**settings) as client:
            for start in range(0, 500, 100):
                transaction = client.transaction()
                for number in range(start, start + 100):
                    transaction.create(f"/tree/{number}/below")
                await transaction.commit()
            with proxy.counting() as trips:
                await client.delete_node("/tree", recursive=True)
            assert await client.exists("/tree") is None
            # A look at each level, and the deletion; the driver asks for each of 1001 nodes.
            assert trips.count < 30


async def test_coordination_z13_failed_transaction_is_an_error(
    server: ZooKeeper, namespace: str
) -> None:
    async with open_coordination(**server.settings(namespace=namespace)) as client:
        with pytest.raises(TransactionFailedError) as failed:
            await client.transaction().create("/a").delete("/missing").commit()
        assert failed.value.index == 1
        assert isinstance(failed.value.error, NodeNotFoundError)
        assert await client.exists("/a") is None


async def test_coordination_z16_login_is_said_again_on_each_link(
    server: ZooKeeper, namespace: str
) -> None:
    async with Proxy(server.endpoint) as proxy:
        settings = server.settings(namespace=namespace, endpoints=proxy.endpoint)
        mine = {"username": "one", "password": "secret"}
        async with (
            open_coordination(**settings, **mine) as owner,
            open_coordination(**settings) as other,
        ):
            await owner.create_node("/mine", b"1")
            proxy.cut()
            assert await owner.read_node("/mine") == b"1"
            for refused in (
                other.read_node("/mine"),
                other.update_node("/mine", b"2"),
                other.create_node("/mine/too"),
                other.transaction().update("/mine", b"2").commit(),
            ):
                with pytest.raises(AccessDeniedError):
                    await refused
            await owner.update_node("/mine", b"2")
        for wrong in ({"username": "one", "password": "wrong"}, {"acl": "creator"}):
            with pytest.raises((AccessDeniedError, ConfigurationError)):
                async with open_coordination(**settings, **wrong) as stranger:
                    await stranger.read_node("/mine")


async def test_coordination_z16_open_nodes_of_a_login_are_everybodys(
    server: ZooKeeper, namespace: str
) -> None:
    settings = server.settings(namespace=namespace)
    mine = {"username": "one", "password": "secret", "acl": "open"}
    async with open_coordination(**settings, **mine) as owner, open_coordination(**settings) as two:
        await owner.create_node("/ours", b"1")
        await two.update_node("/ours", b"2")
        assert await owner.read_node("/ours") == b"2"


async def test_coordination_z16_update_needs_no_right_to_read(
    server: ZooKeeper, namespace: str
) -> None:
    """What may only be written is written, without a look at it."""
    settings = server.settings(namespace=namespace)
    async with open_coordination(**settings) as client:
        await client.create_node("/inbox", b"1")
        await set_acl(server, f"/{namespace}/inbox", permissions=2)
        with pytest.raises(AccessDeniedError):
            await client.read_node("/inbox")
        await client.update_node("/inbox", b"2")
        await client.transaction().update("/inbox", b"4").commit()


async def test_coordination_z16_sasl_is_refused(server: ZooKeeper) -> None:
    with pytest.raises(NotSupportedError, match="digest"):
        async with open_coordination(**server.settings(sasl_mechanism="GSSAPI")):
            pytest.fail("it was opened")


async def test_coordination_z17_shutdown_without_a_server_ends_and_leaves_nothing(
    own_server: ZooKeeper, namespace: str
) -> None:
    settings = own_server.settings(namespace=namespace)
    before = asyncio.all_tasks()
    async with open_coordination(**settings) as client:
        await client.create_node("/a", ephemeral=True)
        await asyncio.to_thread(own_server.kill)
        began = time.monotonic()
    assert time.monotonic() - began < QUICK
    assert asyncio.all_tasks() == before
    await asyncio.to_thread(own_server.start)


async def test_coordination_z18_writes_are_sent_once(server: ZooKeeper, namespace: str) -> None:
    """While no server is there nothing is asked of it again and again."""
    dead = f"127.0.0.1:{free_port()}"
    async with Proxy(server.endpoint) as proxy:
        settings = server.settings(
            namespace=namespace,
            endpoints=[proxy.endpoint, dead],
            operation_timeout=2,
            reconnect_max=0.2,
        )
        async with open_coordination(**settings) as client:
            await client.create_node("/a", b"0")
            noticing = asyncio.create_task(until(client, ConnectionState.DISCONNECTED))
            await asyncio.sleep(0)
            proxy.refuse = True
            proxy.cut()
            await noticing
            accepted = proxy.accepted
            with pytest.raises(ConnectionLostError) as lost:
                await client.create_node("/b")
            assert not lost.value.maybe_applied
            assert proxy.accepted - accepted < 60
            proxy.refuse = False
            await client.create_node("/b")
            with pytest.raises(NodeExistsError):
                await client.create_node("/b")


async def test_words_of_four_letters_may_be_forbidden(servers: Servers, namespace: str) -> None:
    words = {"4lw.commands.whitelist": "srvr"}
    with servers.fresh("zookeeper", options=words) as server:
        async with open_coordination(**server.settings(namespace=namespace)) as client:
            info = await client.server_info()
            assert info.product == "ZooKeeper"
            assert info.version.startswith("3.")


async def test_durability_is_what_the_operator_says(server: ZooKeeper) -> None:
    for durability, is_declared in (("process", False), ("disk", True)):
        async with open_coordination(**server.settings(durability=durability)) as client:
            assert (Guarantee.SURVIVES_POWER_LOSS in client.guarantees) is is_declared


async def test_values_come_with_events(server: ZooKeeper, namespace: str) -> None:
    """The server's events carry none: what is there is read after them."""
    async with (
        open_coordination(**server.settings(namespace=namespace)) as client,
        client.watch("/a", scope="tree") as events,
    ):
        stat = await client.create_node("/a/b", b"1")
        found = [await anext(events), await anext(events)]
        assert found[1] == NodeEvent("created", "/a/b", stat.modified_revision, stat, b"1")
        updated = await client.update_node("/a/b", b"2")
        event = await anext(events)
        assert event == NodeEvent("updated", "/a/b", updated.modified_revision, updated, b"2")


async def test_contender_comes_and_goes_in_two_round_trips(
    server: ZooKeeper, namespace: str
) -> None:
    async with Proxy(server.endpoint) as proxy:
        settings = server.settings(namespace=namespace, endpoints=proxy.endpoint)
        async with open_coordination(**settings) as client, open_coordination(**settings) as other:
            lock = Lock(client, "/lock")
            async with lock:
                pass
            with proxy.counting() as trips:
                async with lock:
                    pass
            # A renewal may come between.
            assert trips.count <= 4
            # Whatever became of the entry, only the very one is taken.
            ticket = await client.contend("/line")
            await other.update_node(ticket.path, b"changed")
            await client.withdraw(ticket)
            assert await other.contenders("/line") == []
            ticket = await client.contend("/line")
            await other.delete_node(ticket.path)
            await other.transaction().create(ticket.path, b"another").commit()
            await client.withdraw(ticket)
            assert await other.read_node(ticket.path) == b"another"


async def test_absence_is_told_by_what_is_above(server: ZooKeeper, namespace: str) -> None:
    """Once this asked for ever: the parents of what must not be there had not been looked at."""
    async with (
        asyncio.timeout(5),
        open_coordination(**server.settings(namespace=namespace)) as client,
    ):
        await client.create_node("/a/b", b"1")
        await client.create_node("/e", ephemeral=True)
        for absent in ("/a/no/deep", "/no/deep/er", "/e/no", "/a/b/no"):
            await client.transaction().update("/a", b"2").check(absent, exists=False).commit()
        with pytest.raises(TransactionFailedError) as failed:
            await client.transaction().delete("/a/b").check("/a/b", exists=True).commit()
        assert failed.value.index == 1
        assert await client.read_node("/a/b") == b"1"


async def set_acl(server: ZooKeeper, znode: str, *, permissions: int) -> None:
    """Let the world do no more with a node than this."""

    def text(content: str) -> bytes:
        return struct.pack(">i", len(content.encode())) + content.encode()

    def frame(content: bytes) -> bytes:
        return struct.pack(">i", len(content)) + content

    host, _, port = server.endpoint.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    acl = struct.pack(">ii", 1, permissions) + text("world") + text("anyone")
    greeting = struct.pack(">iqiqi", 0, 0, 5000, 0, 16) + b"\0" * 17
    writer.write(frame(greeting))
    writer.write(frame(struct.pack(">ii", 1, 7) + text(znode) + acl + struct.pack(">i", -1)))
    writer.write(frame(struct.pack(">ii", 2, -11)))
    said = await reader.read()
    start = 4 + struct.unpack_from(">i", said)[0]
    assert struct.unpack_from(">i", said, start + 16)[0] == 0, "the ACL was not set"
    writer.close()
    await writer.wait_closed()
