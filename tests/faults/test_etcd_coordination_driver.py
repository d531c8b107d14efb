"""What is known of etcd's Python drivers, and of etcd, on a real server: each trap, and that we are not in it.

The names hold the numbers of the faults that were found.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from hpack import Decoder

from asyncbackends import open_coordination
from asyncbackends.errors import (
    AccessDeniedError,
    NodeExistsError,
    ResourceExhaustedError,
    TransactionFailedError,
)
from asyncbackends.protocols.coordination import SessionState
from asyncbackends.protocols.nodes import NodeEvent
from asyncbackends.protocols.values import Gap
from asyncbackends.recipes import Lock
from asyncbackends_etcd.http2_frames import DATA, HEADERS, PREFACE, FrameReader
from asyncbackends_etcd.protobuf import fields_of
from tests.faults.listener import Listener
from tests.servers.ensembles import EtcdCluster
from tests.servers.etcd import Etcd
from tests.servers.running import Servers, product_of

LARGE = 1_000_000


@pytest.fixture
def server(servers: Servers) -> Etcd:
    found = servers.get("etcd")
    assert isinstance(found, Etcd)
    return found


@pytest.fixture
def own_server(servers: Servers) -> Iterator[Etcd]:
    """A server that may be broken."""
    with servers.fresh("etcd") as found:
        yield found


@pytest.fixture
def settings(server: Etcd) -> dict[str, Any]:
    return server.settings(namespace=f"t{uuid4().hex[:12]}")


async def restart(server: Etcd) -> None:
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)


async def test_coordination_e1_a_subtree_is_no_prefix(settings: dict[str, Any]) -> None:
    beside = ["/p0", "/p-x", "/p.x", "/p x", "/pX", "/pz/k", "/q", "/o/p/x", "/P/x", "/p!/x"]
    below = ["/p/a", "/p/a-b/c", "/p/0", "/p/é/x"]
    async with open_coordination(**settings) as client:
        for path in [*beside, *below]:
            await client.create_node(path, path)
        async with (
            client.watch("/p", scope="tree", initial=True) as tree,
            client.watch("/p", scope="children") as children,
        ):
            seen = {(await one_event(tree)).path for _ in range(7)}
            assert seen == {"/p", "/p/a", "/p/a-b", "/p/a-b/c", "/p/0", "/p/é", "/p/é/x"}
            assert await client.get_children("/p") == sorted(["a", "a-b", "0", "é"])
            await client.delete_node("/p", recursive=True)
            assert {(await one_event(tree)).path for _ in range(7)} == seen
            gone = {(await one_event(children)).path for _ in range(4)}
            assert gone == {"/p/a", "/p/a-b", "/p/0", "/p/é"}
            for path in beside:
                assert await client.read_node(path) == path.encode()
            assert await client.exists("/p") is None
            await client.create_node("/p")
            assert (await one_event(tree)).path == "/p"


async def one_event(feed: Any) -> NodeEvent:
    async with asyncio.timeout(10):
        event = await anext(feed)
    assert isinstance(event, NodeEvent)
    return event


async def test_coordination_e2_a_missing_right_is_told(servers: Servers) -> None:
    with servers.fresh("etcd", accounts=True, durable=False) as server:
        server.add_role("site", "secret", ("readwrite", "site/", "site0"))
        login = {"username": "site", "password": "secret"}
        async with open_coordination(**server.settings(namespace="site", **login)) as client:
            await client.create_node("/a/b", b"x", ephemeral=True)
            async with client.watch("/", scope="tree", initial=True) as feed:
                assert (await one_event(feed)).path == "/a"
        with pytest.raises(AccessDeniedError, match="permission denied"):
            async with open_coordination(**server.settings(namespace="other", **login)):
                pytest.fail("it was opened")
        server.add_role("reader", "secret", ("read", "site/", "site0"))
        login = {"username": "reader", "password": "secret"}
        async with open_coordination(**server.settings(namespace="site", **login)) as client:
            assert await client.get_children("/") == ["a"]
            with pytest.raises(AccessDeniedError) as refused:
                await client.create_node("/c")
            assert not refused.value.maybe_applied
            assert not refused.value.retryable


async def test_coordination_e2_a_store_without_room_is_told(servers: Servers) -> None:
    options = {"quota-backend-bytes": str(8 * 1024 * 1024)}
    with servers.fresh("etcd", durable=False, options=options) as server:
        async with open_coordination(**server.settings()) as client:
            await client.create_node("/full")
            with pytest.raises(ResourceExhaustedError, match="space exceeded") as refused:
                for number in range(40):
                    await client.create_node(f"/full/{number}", b"x" * LARGE)
            assert not refused.value.maybe_applied
            # What is there can still be read, and a session kept.
            assert await client.read_node("/full/0") == b"x" * LARGE
            await asyncio.sleep(client.session.ttl / 3 + 0.5)
            assert client.session.state is SessionState.CONNECTED
            assert client.session.remaining() > client.session.ttl / 3


async def test_coordination_e3_a_node_is_made_once(settings: dict[str, Any]) -> None:
    async with open_coordination(**settings) as client, open_coordination(**settings) as other:
        for number in range(10):
            made = await asyncio.gather(
                *(each.create_node(f"/{number}", b"x") for each in (client, other) * 10),
                return_exceptions=True,
            )
            refused = [one for one in made if isinstance(one, BaseException)]
            assert len(refused) == 19
            assert {type(one) for one in refused} == {NodeExistsError}


async def test_coordination_e4_a_lock_outlives_its_ttl(settings: dict[str, Any]) -> None:
    async with (
        open_coordination(**settings, session_ttl=2) as holder,
        open_coordination(**settings) as other,
    ):
        async with Lock(holder, "/lock") as held:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(holder.session.ttl * 1.8), Lock(other, "/lock"):
                    pytest.fail("two hold it")
            assert not held.lost.is_set()
        async with asyncio.timeout(5), Lock(other, "/lock") as later:
            assert later.fence.order > held.fence.order


async def test_coordination_e5_reads_are_never_stale(
    servers: Servers, pytestconfig: pytest.Config
) -> None:
    product = product_of("etcd", newest=pytestconfig.getoption("--servers") == "newest")
    assert issubclass(product, Etcd)
    with EtcdCluster(product, parent=servers.folder, durable=False) as cluster:
        leader = cluster.leader()
        writing = cluster.members[leader].endpoint
        reading = next(one.endpoint for name, one in cluster.members.items() if name != leader)
        async with (
            open_coordination(**cluster.settings(endpoints=writing)) as writer,
            open_coordination(**cluster.settings(endpoints=reading)) as reader,
        ):
            stat = await writer.create_node("/counter", b"0")
            for number in range(1, 151):
                stat = await writer.update_node("/counter", str(number))
                assert await reader.get_node("/counter") == (await writer.get_node("/counter"))
                assert await reader.exists("/counter") == stat
                await writer.create_node(f"/{number}")
                assert str(number) in await reader.get_children("/")


async def test_coordination_e5_a_server_without_a_leader_is_left(
    servers: Servers, server: Etcd, pytestconfig: pytest.Config
) -> None:
    """It answers, and yet nobody else hears of it: as one that is cut off from the others."""
    product = product_of("etcd", newest=pytestconfig.getoption("--servers") == "newest")
    assert issubclass(product, Etcd)
    with EtcdCluster(product, parent=servers.folder, durable=False) as cluster:
        leader = cluster.leader()
        left = next(one for name, one in cluster.members.items() if name != leader)
        endpoints = f"{left.endpoint},{server.endpoint}"
        settings = cluster.settings(endpoints=endpoints, namespace=f"t{uuid4().hex[:12]}")
        async with open_coordination(**settings, session_ttl=3, reconnect_max=0.2) as client:
            session = client.session
            await client.create_node("/there")
            for other in cluster.members.values():
                if other is not left:
                    await asyncio.to_thread(other.kill)
            # Asked again and again, until another one answers.
            assert await client.exists("/there") is None
            assert session.lost.is_set() or session.state is not SessionState.CONNECTED


async def test_coordination_e6_values_are_bytes(settings: dict[str, Any]) -> None:
    values = [bytes(range(256)), b"", b"\xff", b"\x01" * 20, b"\x02" * 40, "grün".encode()]
    async with open_coordination(**settings) as client:
        for number, value in enumerate(values):
            await client.create_node(f"/v/{number}", value)
            await client.create_node(f"/u/{number}")
            await client.update_node(f"/u/{number}", value)
        async with client.watch("/", scope="tree", initial=True) as feed:
            found = [await one_event(feed) for _ in range(2 + 2 * len(values))]
        told = {event.path: event.value for event in found}
        for number, value in enumerate(values):
            assert await client.read_node(f"/v/{number}") == value
            assert told[f"/v/{number}"] == told[f"/u/{number}"] == value


async def test_coordination_e7_what_a_write_tells_is_what_is_read(settings: dict[str, Any]) -> None:
    async with open_coordination(**settings) as client:
        await client.create_node("/other")
        for change in (
            client.create_node("/a", b"1"),
            client.update_node("/a", b"2"),
            client.create_node("/e", b"1", ephemeral=True),
            client.update_node("/e", b"2"),
        ):
            stat = await change
            assert await client.exists(stat.path) == stat
        transaction = client.transaction().update("/a", b"3").delete("/e").create("/e", b"3")
        updated, _, again = await transaction.commit()
        assert updated is not None
        assert again is not None
        assert await client.exists("/a") == updated
        # It came again, so it is another node, though etcd keeps the revision of its key.
        assert await client.exists("/e") == again
        assert again.created_revision == again.modified_revision == updated.modified_revision
        assert again.ephemeral_owner is None
        later = await client.update_node("/e", b"4")
        assert later.created_revision == again.created_revision < later.modified_revision
        assert later.created == again.created
        assert await client.exists("/e") == later


async def test_coordination_e8_no_event_is_lost_when_a_watch_begins(
    settings: dict[str, Any],
) -> None:
    async with open_coordination(**settings) as client, open_coordination(**settings) as other:
        for number in range(100):
            async with client.watch("/", scope="tree") as feed:
                await other.create_node(f"/{number}")
                assert (await one_event(feed)).path == f"/{number}"


async def test_coordination_e8_a_watch_goes_on_after_a_restart(own_server: Etcd) -> None:
    async with (
        open_coordination(**own_server.settings(reconnect_max=0.2)) as client,
        client.watch("/a", scope="children", initial=True) as feed,
    ):
        await client.create_node("/a/1")
        assert (await one_event(feed)).path == "/a/1"
        await restart(own_server)
        await client.create_node("/a/2")
        found: list[NodeEvent | Gap] = []
        async with asyncio.timeout(15):
            while not (found and isinstance(found[-1], NodeEvent) and found[-1].path == "/a/2"):
                found.append(await anext(feed))
        assert isinstance(found[0], Gap)
        assert [type(one) for one in found].count(Gap) == 1


async def test_coordination_e9_a_session_outlives_a_restart(own_server: Etcd) -> None:
    async with open_coordination(**own_server.settings(reconnect_max=0.2, session_ttl=6)) as client:
        session = client.session
        stat = await client.create_node("/mine", ephemeral=True)
        await restart(own_server)
        assert await client.exists("/mine") == stat
        await asyncio.sleep(session.ttl / 2)
        assert client.session is session
        assert session.state is SessionState.CONNECTED
        assert await client.exists("/mine") == stat


async def test_coordination_e9_a_revoked_lease_is_noticed(
    server: Etcd, settings: dict[str, Any]
) -> None:
    async with open_coordination(**settings, session_ttl=3) as client:
        session = client.session
        await client.create_node("/mine", ephemeral=True)
        await asyncio.to_thread(server.ctl, "lease", "revoke", session.id)
        async with asyncio.timeout(session.ttl):
            await session.lost.wait()
        assert await client.exists("/mine") is None
        again = await client.create_node("/mine", ephemeral=True)
        assert again.ephemeral_owner == client.session.id != session.id


async def test_coordination_e10_calls_ride_through_a_restart(own_server: Etcd) -> None:
    async with open_coordination(**own_server.settings(reconnect_max=0.2)) as client:
        await client.create_node("/a", b"x")
        done: list[bool] = []

        async def read() -> int:
            count = 0
            while not done:
                assert await client.read_node("/a") == b"x"
                count += 1
            return count

        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(read()) for _ in range(4)]
            await asyncio.sleep(0.1)
            await restart(own_server)
            await client.create_node("/b")
            done.append(True)
        assert all(reader.result() > 0 for reader in readers)


async def test_coordination_e10_answers_may_be_large(settings: dict[str, Any]) -> None:
    async with open_coordination(**settings) as client:
        for number in range(8):
            await client.create_node(f"/a/{number}", bytes([number]) * LARGE)
        async with client.watch("/a", scope="tree", initial=True) as feed:
            found = [await one_event(feed) for _ in range(9)]
            await client.transaction().update("/a/0", b"y" * LARGE).commit()
            assert (await one_event(feed)).value == b"y" * LARGE
        assert sum(len(event.value or b"") for event in found) == 8 * LARGE
        values = await asyncio.gather(*(client.read_node(f"/a/{number}") for number in range(8)))
        assert [len(value) for value in values] == [LARGE] * 8


def txns_in(sent: bytes) -> list[bytes]:
    """Give the transactions that one connection asked for; each block of headers is one frame."""
    decoder, methods, asked = Decoder(), dict[int, bytes](), list[bytes]()
    for kind, _, stream, payload in FrameReader().feed(sent[len(PREFACE) :]):
        if kind == HEADERS:
            methods[stream] = dict(decoder.decode(payload, raw=True))[b":path"]
        elif kind == DATA and methods[stream].endswith(b"/Txn"):
            asked.append(payload[5:])
    return asked


async def test_coordination_e14_no_transaction_only_reads(server: Etcd) -> None:
    """One that does, and is cancelled at the wrong moment, ends etcd 3.5.1 by a panic."""
    async with Listener(server) as listener:
        settings = server.settings(endpoints=listener.endpoint, namespace=f"t{uuid4().hex[:12]}")
        async with open_coordination(**settings) as client:
            await client.create_node("/a/b")
            await client.get_children("/a")
            await client.get_children("/a/b")
            await client.withdraw(await client.contend("/q"))
            await client.contenders("/q")
            for exists in (True, False):
                transaction = client.transaction().check("/a", exists=exists)
                with contextlib.suppress(TransactionFailedError):
                    await transaction.check("/b", exists=False).commit()
            await client.transaction().update("/a", b"x").delete("/a/b").commit()
            async with client.watch("/", scope="tree", initial=True) as feed:
                await one_event(feed)
            for number in range(100):
                reading = [asyncio.create_task(client.get_children("/a")) for _ in range(4)]
                await asyncio.sleep(0.0002 * (number % 8))
                for task in reading:
                    task.cancel()
                await asyncio.gather(*reading, return_exceptions=True)
        asked = [txn for sent in listener.sent for txn in txns_in(bytes(sent))]
    assert len(asked) >= 5
    for txn in asked:
        operations = [content for number, _, content in fields_of(txn) if number in {2, 3}]
        kinds = {number for each in operations for number, _, _ in fields_of(each)}
        assert kinds & {2, 3}, "it neither puts nor deletes"
    assert server.is_running


async def test_coordination_e15_a_lock_in_use_makes_no_names(settings: dict[str, Any]) -> None:
    """Keys that are gone stay in the index that a range is looked for in, until it is compacted."""
    async with open_coordination(**settings) as one, open_coordination(**settings) as two:
        tickets = [
            await one.contend("/lock"),
            await two.contend("/lock"),
            await one.contend("/lock"),
        ]
        for _ in range(50):
            first = tickets.pop(0)
            client = one if first.session_id == one.session.id else two
            await client.withdraw(first)
            tickets.append(await client.contend("/lock"))
            assert tickets[-1].path == first.path
            assert tickets[-1].order > tickets[-2].order
            # What is asked again about an entry that is gone says nothing of the one in its place.
            await client.withdraw(first)
            assert await two.contenders("/lock") == tickets
