"""What a link to a real RabbitMQ bears: alarms under load, foreign messages, many declarations."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from uuid import uuid4

import aiormq
import pytest

from asyncbackends import ConnectionState, QueueOptions, SubscribeOptions, open_message_broker
from asyncbackends.errors import NotSupportedError, OperationTimeoutError
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import RabbitMq
from tests.servers.running import Servers

LINK_TIMEOUT = 1.0
PREFETCH = 10


@pytest.fixture(autouse=True, params=["rabbitmq"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def namespace() -> str:
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def server(servers: Servers) -> RabbitMq:
    return servers.get("rabbitmq")


@pytest.fixture
def own_server(servers: Servers) -> Iterator[RabbitMq]:
    """Give one that is to be broken."""
    with servers.fresh("rabbitmq") as server:
        yield server


@pytest.mark.timeout(180)
async def test_alarm_under_load_costs_no_link(own_server: RabbitMq, namespace: str) -> None:
    """The broker reads nothing for long, with megabytes under way to it, and is there all the same."""
    body = b"x" * 500_000
    settings = own_server.settings(namespace=namespace, link_timeout=LINK_TIMEOUT)
    async with open_message_broker(**settings) as broker:
        await broker.create_exchange("events")
        await broker.create_queue("events", "work")
        await broker.publish(b"", exchange="events")
        own_server.set_alarm()
        receipts = [broker.publish_nowait(body, exchange="events") for _ in range(20)]
        async with asyncio.timeout(10):
            while broker.state is not ConnectionState.BLOCKED:  # noqa: ASYNC110  # a server does it
                await asyncio.sleep(0.01)
        async with broker.states() as states:
            assert (await anext(states)).state is ConnectionState.BLOCKED
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5 * LINK_TIMEOUT):
                    await anext(states)
        own_server.clear_alarm()
        for receipt in receipts:
            await receipt
        # No link was lost, so nothing was sent twice.
        async with broker.subscribe("events", "work") as deliveries:
            for _ in range(21):
                await (await deliveries.get(10)).ack()
            with pytest.raises(OperationTimeoutError):
                await deliveries.get(0.3)


async def test_declarations_take_no_channels_along(server: RabbitMq, namespace: str) -> None:
    def channels() -> int:
        return sum(
            each.channels
            for each in server.connections()
            if each.name.startswith("asyncbackends publishing")
        )

    async with open_message_broker(**server.settings(namespace=namespace)) as broker:
        for number in range(30):
            await broker.create_exchange(f"e{number}")
        before = channels()
        # On the next link all of them are made again.
        server.close_connections("trial", name="asyncbackends publishing")
        await broker.publish(b"", exchange="e0")
        assert channels() <= before + 1


@asynccontextmanager
async def held_by_another(server: RabbitMq, queue: str, count: int) -> AsyncGenerator[None]:
    """The first messages of a queue are with a consumer, as with one that was lost unseen."""
    connection = await aiormq.connect(server.url)
    try:
        channel = await connection.channel()
        await channel.basic_qos(prefetch_count=count)
        held, taken = 0, asyncio.Event()

        async def take(_: object) -> None:
            nonlocal held
            held += 1
            if held == count:
                taken.set()

        await channel.basic_consume(queue, take)
        async with asyncio.timeout(5):
            await taken.wait()
        yield
    finally:
        await connection.close()


async def test_queue_waits_for_the_end_of_a_consumer_whose_link_is_lost(
    server: RabbitMq, namespace: str
) -> None:
    """What that one held comes first, as it was published first."""
    options = SubscribeOptions(prefetch=PREFETCH)
    async with (
        Proxy(server.endpoint) as proxy,
        open_message_broker(**server.settings(namespace=namespace)) as publisher,
        open_message_broker(
            **server.settings(namespace=namespace, endpoints=proxy.endpoint, reconnect_max=0.1)
        ) as broker,
    ):
        await publisher.create_exchange("events")
        async with broker.subscribe("events", "work", options=options) as deliveries:
            for number in range(3 * PREFETCH):
                await publisher.publish({"n": number}, exchange="events")
            assert (await deliveries.get(5))["n"] == 0
            proxy.refuse = True
            proxy.cut()
            async with held_by_another(server, f"{namespace}.work", PREFETCH):
                proxy.refuse = False
                with pytest.raises(OperationTimeoutError):
                    await deliveries.get(1.0)
            for number in range(3 * PREFETCH):
                delivery = await deliveries.get(5)
                assert delivery["n"] == number
                await delivery.ack()


async def test_queue_that_others_came_to_is_consumed_again_all_the_same(
    server: RabbitMq, namespace: str
) -> None:
    """Who consumes it cannot be told from a consumer whose link is lost."""
    async with (
        Proxy(server.endpoint) as proxy,
        open_message_broker(**server.settings(namespace=namespace)) as publisher,
        open_message_broker(
            **server.settings(namespace=namespace, endpoints=proxy.endpoint, operation_timeout=2.0)
        ) as broker,
    ):
        await publisher.create_exchange("events")
        async with broker.subscribe("events", "work") as deliveries:
            for number in range(2 * PREFETCH):
                await publisher.publish({"n": number}, exchange="events")
            assert (await deliveries.get(5))["n"] == 0
            proxy.refuse = True
            proxy.cut()
            async with held_by_another(server, f"{namespace}.work", PREFETCH):
                proxy.refuse = False
                assert (await deliveries.get(10))["n"] == PREFETCH


async def test_message_that_is_nested_too_deep_stops_nobody(
    server: RabbitMq, namespace: str
) -> None:
    nested: dict[str, object] = {"end": "1"}
    for _ in range(300):
        nested = {"n": nested}
    async with open_message_broker(**server.settings(namespace=namespace)) as broker:
        await broker.create_exchange("events")
        async with broker.subscribe("events", "work") as deliveries:
            connection = await aiormq.connect(server.url)
            channel = await connection.channel()
            await channel.basic_publish(
                b"deep",
                exchange=f"{namespace}.events",
                properties=aiormq.spec.Basic.Properties(headers={"deep": nested}),  # type: ignore[dict-item]  # as strangers do
            )
            await connection.close()
            delivery = await deliveries.get(5)
            assert delivery.body == b"deep"
            assert delivery.delivery_count == 1
            await delivery.ack()


async def test_disk_refuses_what_may_not_be_on_it(server: RabbitMq, namespace: str) -> None:
    settings = server.settings(namespace=namespace, durability="disk")
    async with open_message_broker(**settings) as broker:
        await broker.create_exchange("events")
        with pytest.raises(NotSupportedError):
            await broker.create_queue("events", "c", options=QueueOptions(queue_type="classic"))
        await broker.create_queue("events", "q")
