"""What is known of nats-py's KeyValue, on a real server: each trap, and that we are not in it.

The names hold the numbers of the faults that were found in the driver.
"""

import asyncio
import os
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends import ConnectionState, Gap, NodeEvent, open_coordination
from asyncbackends.errors import (
    AuthenticationFailedError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    HasChildrenError,
    InvalidRequestError,
    NodeExistsError,
    NodeNotFoundError,
    RevisionConflictError,
)
from asyncbackends.protocols.coordination import (
    DistributedCoordinationService,
    SupportsArriving,
)
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends_nats.tree.endings import BRIEF
from tests.servers.nats import Nats
from tests.servers.nats_session_faults import NatsSessionFaults
from tests.servers.nats_tree import NatsTree
from tests.servers.running import Servers

TTL = 2.0
LATE = 1.5
"""Seconds after the ttl, at most, when an expired session is gone for everybody."""


@pytest.fixture
def namespace() -> str:
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def server(servers: Servers) -> Nats:
    return servers.get("nats")


@pytest.fixture
def own_server(servers: Servers) -> Iterator[Nats]:
    """A server that may be broken."""
    with servers.fresh("nats", durable=True) as found:
        yield found


@pytest.fixture
def proxy(server: Nats, namespace: str) -> Iterator[NatsSessionFaults]:
    with NatsSessionFaults(server, namespace) as found:
        yield found


@pytest.fixture
def proxied(server: Nats, namespace: str, proxy: NatsSessionFaults) -> dict[str, Any]:
    return server.settings(
        namespace=namespace, endpoints=proxy.endpoint, session_ttl=TTL, reconnect_max=0.05
    )


@pytest.fixture
def settings(server: Nats, namespace: str) -> dict[str, Any]:
    return server.settings(namespace=namespace)


async def next_event(events: AsyncIterator[NodeEvent | Gap], seconds: float) -> NodeEvent | Gap:
    async with asyncio.timeout(seconds):
        return await anext(events)


async def until(client: DistributedCoordinationService, state: ConnectionState) -> float:
    """Wait for a state; give the seconds."""
    began = time.monotonic()
    async with asyncio.timeout(20), client.states() as states:
        async for status in states:
            if status.state is state:
                break
    return time.monotonic() - began


async def test_coordination_n1_n2_n3_expired_is_absent_and_told_and_can_be_made_anew(
    settings: dict[str, Any], proxied: dict[str, Any], proxy: NatsSessionFaults
) -> None:
    """By the server's own expiry: who does not renew says nothing at its end."""
    async with (
        open_coordination(**settings) as other,
        open_coordination(**proxied, operation_timeout=2) as silent,
    ):
        session = silent.session
        first = await silent.create_node("/top/mine", b"1", ephemeral=True)
        async with other.watch("/top", scope="children", initial=True) as events:
            assert (await next_event(events, 2)) == NodeEvent(
                "created", "/top/mine", first.created_revision, first, b"1"
            )
            proxy.freeze_renewals()
            event = await next_event(events, TTL + LATE)
        assert isinstance(event, NodeEvent)
        assert (event.kind, event.path) == ("deleted", "/top/mine")
        # Its marker is still there, and is no node.
        assert session.id not in proxy.tree.sessions()
        assert await other.exists("/top/mine") is None
        with pytest.raises(NodeNotFoundError):
            await other.read_node("/top/mine")
        assert await other.get_children("/top") == []
        again = await other.create_node("/top/mine", b"2", ephemeral=True)
        assert again.created_revision > first.created_revision
        assert again.ephemeral_owner == other.session.id
        proxy.thaw_renewals()


async def test_coordination_n4_renewals_keep_nodes_and_do_not_change_them(
    settings: dict[str, Any],
) -> None:
    async with (
        open_coordination(**settings, session_ttl=TTL) as client,
        open_coordination(**settings) as other,
    ):
        made = await client.create_node("/mine", b"1", ephemeral=True)
        changed = await other.update_node("/mine", b"2")
        assert changed.ephemeral_owner == client.session.id
        await asyncio.sleep(TTL + LATE)
        assert await other.exists("/mine") == changed
        with pytest.raises(RevisionConflictError):
            await other.delete_node("/mine", expected_version=made.version)
        await other.delete_node("/mine", expected_version=changed.version)
        assert await client.exists("/mine") is None


async def test_coordination_n5_stats_are_whole_and_no_bytes_are_a_value(
    settings: dict[str, Any],
) -> None:
    async with open_coordination(**settings) as client, open_coordination(**settings) as other:
        made = await client.create_node("/a", b"")
        assert await other.get_node("/a") == await client.get_node("/a")
        assert await other.read_node("/a", True) == (b"", made)
        changed = await other.update_node("/a", b"x")
        assert changed.created == made.created
        assert changed.created_revision == made.created_revision
        assert changed.modified > made.created
        assert Guarantee.LINEARIZABLE_READS in client.guarantees


@pytest.mark.parametrize("depth", [1, 16, 200, 2000])
async def test_coordination_n6_long_paths_leave_the_connection_alone(
    settings: dict[str, Any], depth: int
) -> None:
    """A server closes the connection for a line of more than 4096 characters."""
    path = "".join(f"/{'ü' * (1000 // depth // 2 or 1)}" for _ in range(min(depth, 1300)))
    if depth == 1:
        path = "/" + "é" * 127
    async with open_coordination(**settings) as client, open_coordination(**settings) as other:
        states: list[ConnectionState] = []

        async def follow() -> None:
            async with client.states() as found:
                async for status in found:
                    states.append(status.state)  # noqa: PERF401  # it is cancelled in between

        following = asyncio.create_task(follow())
        top = "/" + path.split("/")[1]
        async with other.watch(top, scope="tree") as events:
            stat = await client.create_node(path, b"deep")
            assert await other.get_node(path) == await client.get_node(path)
            assert stat.path == path
            created = await next_event(events, 5)
            assert isinstance(created, NodeEvent)
            assert created.path == top
        assert await other.get_children(top) == ([path.split("/")[2]] if depth > 1 else [])
        for wrong in ("/a//b", "/a/../b", "/a\r\nPING", "/a/"):
            with pytest.raises(InvalidRequestError):
                await client.create_node(wrong)
        await other.delete_node(top, recursive=True)
        assert await client.exists(path) is None
        following.cancel()
        await asyncio.wait({following})
        assert set(states) == {ConnectionState.CONNECTED}


async def test_coordination_n7_watch_goes_on_at_once_after_a_restart(
    own_server: Nats, namespace: str
) -> None:
    """It was silent for 14.7 s."""
    settings = own_server.settings(namespace=namespace, reconnect_max=0.2)
    async with open_coordination(**settings) as client:
        session = client.session
        await client.create_node("/a", b"1", ephemeral=True)
        async with client.watch("/", scope="children") as events:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, own_server.process.kill)
            await loop.run_in_executor(None, own_server.start)
            began = time.monotonic()
            found = [await next_event(events, 5), await next_event(events, 5)]
            assert isinstance(found[0], Gap)
            assert isinstance(found[1], NodeEvent)
            assert (found[1].kind, found[1].path) == ("created", "/a")
            assert time.monotonic() - began < 3
            await client.create_node("/b")
            event = await next_event(events, 2)
            assert isinstance(event, NodeEvent)
            assert (event.kind, event.path) == ("created", "/b")
        assert client.session is session
        assert (await client.exists("/a")) is not None


async def test_coordination_n8_watches_leave_nothing_at_the_server(
    server: Nats, settings: dict[str, Any], namespace: str
) -> None:
    tree = NatsTree(server, namespace)

    def consumers() -> int:
        found = server.ask(f"$JS.API.STREAM.INFO.{tree.stream}")
        return int(found["state"]["consumer_count"])

    loop = asyncio.get_running_loop()

    async def until_none() -> None:
        # The server answers who asks it to remove one, and whoever asks next, before it has.
        async with asyncio.timeout(5):
            while await loop.run_in_executor(None, consumers):  # noqa: ASYNC110  # the server's doing
                await asyncio.sleep(0.01)

    before = len(asyncio.all_tasks())
    async with open_coordination(**settings) as client:
        kept = len(asyncio.all_tasks())
        watches = [client.watch(f"/{number}") for number in range(30)]
        for watch in watches:
            await watch.__aenter__()
        assert await loop.run_in_executor(None, consumers) == 30
        for watch in watches:
            await watch.__aexit__(None, None, None)
        await until_none()
        assert len(asyncio.all_tasks()) == kept
        unfinished = client.watch("/x")
        await unfinished.__aenter__()
    assert len(asyncio.all_tasks()) == before
    await until_none()


async def test_coordination_n9_write_without_a_link_is_never_applied_late(
    proxied: dict[str, Any], proxy: NatsSessionFaults
) -> None:
    async with open_coordination(**proxied, operation_timeout=0.3) as client:
        proxy.drop_connection()
        with pytest.raises(ConnectionLostError) as caught:
            await client.create_node("/late")
        assert not caught.value.maybe_applied
        proxy.restore_connection()
        await until(client, ConnectionState.CONNECTED)
        await asyncio.sleep(0.5)
        assert await client.exists("/late") is None


async def test_coordination_n10_what_is_not_there_is_said(settings: dict[str, Any]) -> None:
    async with open_coordination(**settings) as client:
        for call in (client.delete_node("/no"), client.get_children("/no")):
            with pytest.raises(NodeNotFoundError):
                await call
        assert await client.get_children("/") == []
        await client.create_node("/ab/c")
        await client.create_node("/a/b")
        # Not by the beginnings of names.
        assert await client.get_children("/a") == ["b"]
        assert await client.get_children("/") == ["a", "ab"]


async def test_coordination_n11_frozen_server_is_noticed(own_server: Nats, namespace: str) -> None:
    """It took up to four minutes."""
    settings = own_server.settings(namespace=namespace, link_timeout=1)
    async with open_coordination(**settings) as client:
        await client.create_node("/a")
        own_server.process.freeze()
        try:
            assert await until(client, ConnectionState.DISCONNECTED) <= 2
        finally:
            own_server.process.thaw()
        await until(client, ConnectionState.CONNECTED)
        assert await client.exists("/a") is not None


async def test_coordination_n12_nkey_is_a_login(
    servers: Servers, namespace: str, tmp_path: Path
) -> None:
    nkeys: Any = import_module("nkeys")  # it has no types
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    public = nkeys.from_seed(seed).public_key.decode()
    file = tmp_path / "seed"
    file.write_bytes(bytes(seed))
    with servers.fresh("nats", accounts=True, users=[f"{{nkey: {public}}}"]) as server:
        settings = {"engine": "nats", "endpoints": server.endpoint, "namespace": namespace}
        async with open_coordination(**settings, nkey_seed_file=str(file)) as client:
            await client.create_node("/a", ephemeral=True)
        with pytest.raises(ConfigurationError, match="nkey_seed_file"):
            async with open_coordination(**settings, nkey_seed_file=str(tmp_path / "missing")):
                pass


async def test_token_is_a_login(servers: Servers, namespace: str) -> None:
    right, wrong = "a-right-token", "a-wrong-token"
    with servers.fresh("nats", token=right) as server:
        settings = {"engine": "nats", "endpoints": server.endpoint, "namespace": namespace}
        async with open_coordination(**settings, token=right) as client:
            await client.create_node("/a", ephemeral=True)
        for login in ({"token": wrong}, {}):
            with pytest.raises(AuthenticationFailedError) as refusal:
                async with open_coordination(**settings, **login):
                    pass
            assert wrong not in "".join(traceback.format_exception(refusal.value))


# What the tree stands on beyond that.


async def test_purged_stream_is_told_to_watches(
    server: Nats, settings: dict[str, Any], namespace: str
) -> None:
    tree = NatsTree(server, namespace)
    loop = asyncio.get_running_loop()
    async with open_coordination(**settings, session_ttl=TTL) as client:
        session = client.session
        await client.create_node("/a/b", b"1")
        async with client.watch("/a", scope="tree") as events:
            purge = f"$JS.API.STREAM.PURGE.{tree.stream}"
            assert (await loop.run_in_executor(None, server.ask, purge))["success"]
            found = await next_event(events, TTL + LATE)
            assert isinstance(found, Gap)
            await client.create_node("/a/c", b"2")
            seen = [await next_event(events, 2), await next_event(events, 2)]
            paths = [(one.kind, one.path) for one in seen if isinstance(one, NodeEvent)]
            assert paths == [("created", "/a"), ("created", "/a/c")]
        assert await client.get_children("/a") == ["c"]
        assert client.session.id != session.id


async def test_stream_that_was_deleted_is_made_anew_and_told(
    server: Nats, settings: dict[str, Any], namespace: str
) -> None:
    tree = NatsTree(server, namespace)
    loop = asyncio.get_running_loop()
    async with open_coordination(**settings, session_ttl=TTL) as client:
        await client.create_node("/a/b", b"1")
        async with client.watch("/a", scope="tree") as events:
            delete = f"$JS.API.STREAM.DELETE.{tree.stream}"
            assert (await loop.run_in_executor(None, server.ask, delete))["success"]
            found = await next_event(events, TTL + LATE)
            assert isinstance(found, Gap)
            await client.create_node("/a", b"2")
            event = await next_event(events, 2)
            assert isinstance(event, NodeEvent)
            assert (event.kind, event.path, event.value) == ("created", "/a", b"2")


async def test_strangers_stream_is_refused(
    server: Nats, settings: dict[str, Any], namespace: str
) -> None:
    """A tree must not lose nodes to somebody's limits."""
    tree = NatsTree(server, namespace)
    config = {"name": tree.stream, "subjects": [f"{tree.prefix}.>"], "max_age": 10**12}
    server.ask(f"$JS.API.STREAM.CREATE.{tree.stream}", config)
    with pytest.raises((ConfigurationError, ConnectionFailedError), match="max_age"):
        async with open_coordination(**settings):
            pass


async def test_many_children_and_large_ones_are_listed(settings: dict[str, Any]) -> None:
    """A server answers 1024 at once, and so many bytes."""
    async with open_coordination(**settings) as client:
        await client.create_node("/many")
        names = [f"{number:04}" for number in range(1500)]
        for start in range(0, len(names), 250):
            await asyncio.gather(
                *(client.create_node(f"/many/{name}") for name in names[start : start + 250])
            )
        assert await client.get_children("/many") == names
        for number in range(40):
            await client.create_node(f"/large/{number:02}", b"x" * 1_000_000)
        assert len(await client.get_children("/large")) == 40
        await client.delete_node("/many", recursive=True)
        assert await client.exists("/many") is None
        await client.delete_node("/large", recursive=True)
        assert await client.get_children("/") == []


async def test_what_was_deleted_stays_so_over_a_kill(own_server: Nats, namespace: str) -> None:
    """A server gives back what a limit per subject has removed, once what replaced it expired."""
    settings = own_server.settings(namespace=namespace, reconnect_max=0.2)
    loop = asyncio.get_running_loop()
    async with open_coordination(**settings) as client:
        kept = await client.contend("/lock", b"first")
        withdrawn = [await client.contend("/lock") for _ in range(5)]
        for ticket in withdrawn:
            await client.withdraw(ticket)
        await asyncio.sleep(BRIEF + 1.5)
        await loop.run_in_executor(None, own_server.process.kill)
        await loop.run_in_executor(None, own_server.start)
        await until(client, ConnectionState.CONNECTED)
        assert await client.contenders("/lock") == [kept]
        assert await client.get_children("/lock") == [kept.path.rpartition("/")[2]]


async def test_one_of_many_creators_wins(settings: dict[str, Any]) -> None:
    async with open_coordination(**settings) as one, open_coordination(**settings) as two:
        await one.create_node("/top")
        for number in range(30):
            path = f"/top/{number}"
            calls = [(one, two)[i % 2].create_node(path, str(i)) for i in range(20)]
            found = await asyncio.gather(*calls, return_exceptions=True)
            made = [stat for stat in found if not isinstance(stat, BaseException)]
            assert len(made) == 1
            assert all(isinstance(error, NodeExistsError) for error in found if error not in made)
            assert await one.exists(path) == made[0]


async def test_one_of_many_deletes_wins(settings: dict[str, Any]) -> None:
    async with open_coordination(**settings) as one, open_coordination(**settings) as two:
        for number in range(30):
            path = f"/top/{number}"
            await one.create_node(path)
            calls = [(one, two)[i % 2].delete_node(path, recursive=i % 5 == 4) for i in range(10)]
            found = await asyncio.gather(*calls, return_exceptions=True)
            assert [error for error in found if error is None] == [None]
            assert sum(isinstance(error, NodeNotFoundError) for error in found) == 9


async def test_delete_beside_a_create_below_leaves_no_orphan(settings: dict[str, Any]) -> None:
    async with open_coordination(**settings) as one, open_coordination(**settings) as two:
        for number in range(100):
            path = f"/top/{number}"
            await one.create_node(path)
            if number % 2:
                # It knows the parent: one message.
                await two.exists(path)
            calls: list[Any] = [
                one.delete_node(path),
                two.create_node(f"{path}/child", make_parents=False),
            ]
            deleted, created = await asyncio.gather(*calls, return_exceptions=True)
            there = await one.exists(path) is not None
            assert there == isinstance(deleted, HasChildrenError)
            assert there != isinstance(created, NodeNotFoundError)
            assert (await one.exists(f"{path}/child") is not None) == there


async def test_nobody_is_first_behind_one_that_changes_its_value(settings: dict[str, Any]) -> None:
    """What was changed stands behind what came later."""
    async with open_coordination(**settings) as one, open_coordination(**settings) as two:
        assert isinstance(two, SupportsArriving)
        for number in range(100):
            path = f"/lock/{number}"
            held = await one.contend(path)
            arriving = asyncio.ensure_future(two.arrive(path))
            await asyncio.gather(*(one.update_node(held.path, b"%d" % i) for i in range(5)))
            ticket, is_first = await arriving
            assert not is_first
            assert await two.contenders(path) == [held, ticket]
