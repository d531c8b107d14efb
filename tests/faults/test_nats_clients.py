"""Several clients of one server, and what others do to a queue: nothing is taken or left behind."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from uuid import uuid4

import pytest

from asyncbackends import ConnectionState, MessageBroker, SubscribeOptions, open_message_broker
from asyncbackends.errors import OperationTimeoutError, UnroutableError
from tests.servers.nats import Nats
from tests.servers.nats_cluster import NatsCluster
from tests.servers.nats_faults import NatsFaults
from tests.servers.running import Servers
from tests.servers.server import HOST


@pytest.fixture
def namespace() -> str:
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def server(servers: Servers) -> Nats:
    found = servers.get("nats")
    assert isinstance(found, Nats)
    return found


@pytest.fixture
def own_server(servers: Servers) -> Iterator[Nats]:
    """A server that may be broken."""
    with servers.fresh("nats", durable=True) as found:
        assert isinstance(found, Nats)
        yield found


async def until(broker: MessageBroker, state: ConnectionState) -> None:
    async with asyncio.timeout(20), broker.states() as states:
        async for status in states:
            if status.state is state:
                return


async def test_leftover_keys_bind_no_new_queue(server: Nats, namespace: str) -> None:
    """Whoever made and deleted the queue before died between two steps."""
    async with open_message_broker(**server.settings(namespace=namespace)) as broker:
        await broker.create_exchange("events", kind="direct")
        await broker.create_queue("events", "q", routing_keys=["old"])
        server.ask(f"$JS.API.CONSUMER.DELETE.AB-{namespace}-events.q")
        purged = {"filter": f"abq.{namespace}.q"}
        server.ask(f"$JS.API.STREAM.PURGE.AB-{namespace}", purged)
        await broker.create_queue("events", "q", routing_keys=["new"])
        with pytest.raises(UnroutableError):
            await broker.publish(b"", exchange="events", routing_key="old", mandatory=True)
        await broker.publish(b"", exchange="events", routing_key="new", mandatory=True)
        await broker.delete_queue("q")
        subjects = {"subjects_filter": f"abk.{namespace}.>"}
        found = server.ask(f"$JS.API.STREAM.INFO.AB-{namespace}", subjects)
        assert not found["state"].get("subjects")


async def test_queue_whose_deleter_died_is_made_anew(server: Nats, namespace: str) -> None:
    """Of a queue that is being deleted the register says so before its consumer goes."""
    async with open_message_broker(**server.settings(namespace=namespace)) as broker:
        for exchange in ("one", "two"):
            await broker.create_exchange(exchange)
        await broker.create_queue("one", "q")
        subject = {"last_by_subj": f"abq.{namespace}.q"}
        register = f"AB-{namespace}"
        record = server.ask(f"$JS.API.STREAM.MSG.GET.{register}", subject)["message"]
        mark = f"Ab-Deletes: {record['seq']}\r\n"
        server.ask(subject["last_by_subj"], json.loads(b64decode(record["data"])), headers=mark)
        await broker.create_queue("two", "q")
        for exchange, queues in (("one", 0), ("two", 1)):
            found = server.ask(f"$JS.API.CONSUMER.LIST.{register}-{exchange}", {})
            assert found["total"] == queues
        await broker.delete_queue("q")
        assert not server.ask(f"$JS.API.STREAM.INFO.{register}")["state"].get("messages")


async def test_deleted_queue_is_made_anew_once(server: Nats, namespace: str) -> None:
    """Who deletes it takes no queue away that a subscriber has made since."""
    settings = server.settings(namespace=namespace)
    async with open_message_broker(**settings) as one, open_message_broker(**settings) as two:
        await one.create_exchange("events")
        for _ in range(30):
            async with one.subscribe("events", "q") as feed, two.subscribe("events", "q") as other:
                await two.delete_queue("q")
                async with asyncio.timeout(10):
                    while not (feed.gaps and other.gaps):  # noqa: ASYNC110  # a server tells
                        await asyncio.sleep(0.01)
                await asyncio.sleep(0.02)
                assert (feed.gaps, other.gaps) == (1, 1)
            await two.delete_queue("q")


async def test_deleted_queue_is_told_to_who_has_no_room_too(server: Nats, namespace: str) -> None:
    """Another one has made it anew by the time that they look for it."""
    settings = server.settings(namespace=namespace)
    full = SubscribeOptions(prefetch=1)
    async with open_message_broker(**settings) as one, open_message_broker(**settings) as two:
        await two.create_exchange("events")
        async with one.subscribe("events", "q", options=full) as feed:
            await two.publish({"n": 1}, exchange="events")
            assert (await feed.get(5))["n"] == 1
            async with one.subscribe("events", "q") as other:
                await two.delete_queue("q")
                async with asyncio.timeout(10):
                    while not (feed.gaps and other.gaps):  # noqa: ASYNC110  # a server tells
                        await asyncio.sleep(0.01)
                await asyncio.sleep(2.5)
                assert (feed.gaps, other.gaps) == (1, 1)


async def test_what_a_subscription_gives_back_is_not_sent_there_again(
    server: Nats, namespace: str
) -> None:
    """It would count as a delivery that nobody saw."""
    async with open_message_broker(**server.settings(namespace=namespace)) as broker:
        await broker.create_exchange("events")
        await broker.create_queue("events", "q")
        for number in range(500):
            _ = broker.publish_nowait({"n": number}, exchange="events")
        await broker.flush()
        options = SubscribeOptions(prefetch=1000)
        async with broker.subscribe("events", "q", options=options) as feed:
            await feed.get(5)
            await asyncio.sleep(0.2)
        async with broker.subscribe("events", "q", options=options) as feed:
            counts = [(await feed.get(5)).delivery_count for _ in range(500)]
        assert {*counts} == {2}


async def test_what_a_queue_is_bound_with_stays(server: Nats, namespace: str) -> None:
    async with open_message_broker(**server.settings(namespace=namespace)) as broker:
        await broker.create_exchange("events", kind="direct")
        await broker.create_queue("events", "q", routing_keys=["one"])
        # As when another one's clean-up was late.
        purged = {"filter": f"abk.{namespace}.>"}
        server.ask(f"$JS.API.STREAM.PURGE.AB-{namespace}", purged)
        await broker.create_queue("events", "q", routing_keys=["two"])
        for key in ("one", "two"):
            await broker.publish(b"", exchange="events", routing_key=key, mandatory=True)


async def test_shorter_wait_for_acks_takes_nothing_from_others(
    server: Nats, namespace: str
) -> None:
    """All who consume a queue share one consumer on the server, and its ack_wait."""
    settings = server.settings(namespace=namespace)
    async with open_message_broker(**settings) as one, open_message_broker(**settings) as two:
        await one.create_exchange("events")
        patient = SubscribeOptions(prefetch=3, ack_wait=30)
        hasty = SubscribeOptions(prefetch=3, ack_wait=1)
        async with one.subscribe("events", "q", options=patient) as feed:
            for number in range(3):
                await one.publish({"n": number}, exchange="events")
            deliveries = [await feed.get(5) for _ in range(3)]
            async with two.subscribe("events", "q", options=hasty) as other:
                with pytest.raises(OperationTimeoutError):
                    await other.get(2.5)
                for delivery in deliveries:
                    await delivery.ack()


@pytest.fixture(scope="module")
def cluster() -> Iterator[NatsCluster]:
    with NatsCluster(accounts=True) as found:
        yield found


async def test_all_who_declare_a_queue_at_once_have_it(
    cluster: NatsCluster, namespace: str
) -> None:
    """Of three servers, the second writer is refused before the first one's record is there."""
    settings = cluster.settings(namespace=namespace, replicas=3)
    async with AsyncExitStack() as stack:
        brokers = [
            await stack.enter_async_context(open_message_broker(**settings)) for _ in range(5)
        ]
        await brokers[0].create_exchange("events")
        for number in range(10):
            async with asyncio.TaskGroup() as group:
                for broker in brokers:
                    group.create_task(broker.create_queue("events", f"q{number}"))


async def test_what_others_have_by_now_is_not_given_back(server: Nats, namespace: str) -> None:
    options = SubscribeOptions(prefetch=1, ack_wait=1)
    settings = server.settings(namespace=namespace)
    with NatsFaults(server, namespace) as faults:
        behind = {**settings, "endpoints": faults.endpoint}
        async with open_message_broker(**behind) as one, open_message_broker(**settings) as two:
            await two.create_exchange("events")
            async with one.subscribe("events", "q", options=options) as feed:
                await two.publish({"n": 1}, exchange="events")
                assert (await feed.get(5))["n"] == 1
                async with two.subscribe("events", "q", options=options) as other:
                    faults.drop_connection()
                    delivery = await other.get(5)
                    assert delivery.redelivered
                    faults.restore_connection()
                    await until(one, ConnectionState.CONNECTED)
                    with pytest.raises(OperationTimeoutError):
                        await feed.get(1.5)
                    await delivery.ack()


async def test_slow_end_of_one_subscription_leaves_the_link_to_the_others(
    own_server: Nats, namespace: str
) -> None:
    """nats-py's reader ends when the answer to a ping comes that was given up."""
    settings = own_server.settings(namespace=namespace, link_timeout=1)
    async with open_message_broker(**settings) as broker:
        await broker.create_exchange("events")
        async with broker.subscribe("events", "kept") as feed:
            async with broker.subscribe("events", "left"):
                own_server.freeze()
            own_server.thaw()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(3):
                    await until(broker, ConnectionState.DISCONNECTED)
            await broker.publish({"n": 1}, exchange="events")
            assert (await feed.get(5))["n"] == 1


@asynccontextmanager
async def half_cut(server: Nats) -> AsyncGenerator[tuple[str, Callable[[], None]]]:
    """Stand in front of a server; give an endpoint, and what cuts links that the server keeps."""
    clients: set[asyncio.StreamWriter] = set()
    serving: list[asyncio.Task[None]] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if not writer.is_closing():
                    writer.write(data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection(HOST, server.port)
        clients.add(writer)
        async with asyncio.TaskGroup() as group:
            group.create_task(copy(theirs, writer))
            await copy(reader, ours)
            await asyncio.sleep(0.3)
            ours.close()
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.create_task(serve(reader, writer)))

    def cut() -> None:
        for client in clients:
            client.transport.abort()
        clients.clear()

    async with await asyncio.start_server(accept, HOST, 0) as listener:
        yield f"{HOST}:{listener.sockets[0].getsockname()[1]}", cut
        await asyncio.gather(*serving)


@pytest.mark.parametrize("queue", ["q", None])
async def test_nothing_goes_to_a_link_that_the_server_has_not_missed_yet(
    server: Nats, namespace: str, queue: str | None
) -> None:
    """It would come after what was published later."""
    settings = server.settings(namespace=namespace)
    async with half_cut(server) as (endpoint, cut):
        behind = {**settings, "endpoints": endpoint}
        async with open_message_broker(**behind) as one, open_message_broker(**settings) as two:
            await two.create_exchange("events")
            async with one.subscribe("events", queue) as feed:
                await two.publish({"n": 0}, exchange="events")
                assert (await feed.get(5))["n"] == 0
                cut()
                await until(one, ConnectionState.DISCONNECTED)
                found: dict[int, None] = {0: None}
                for number in range(1, 61):
                    await two.publish({"n": number}, exchange="events")
                    await asyncio.sleep(0.01)
                async with asyncio.timeout(10):
                    while len(found) < 61:
                        delivery = await feed.get(5)
                        found.setdefault(delivery["n"])
                        await delivery.ack()
                assert [*found] == [*range(61)]
