"""What is known of aio-pika and aiormq, on a real server: each trap, and that we are not in it.

The names hold the numbers of the faults that were found in the driver.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aiormq
import pytest
from aiormq.abc import AbstractChannel

from asyncbackends import ConnectionState, MessageBroker, QueueOptions, open_message_broker
from asyncbackends.errors import (
    AccessDeniedError,
    AuthenticationFailedError,
    BackendError,
    ConnectionFailedError,
    OperationTimeoutError,
    PublishUnconfirmedError,
    StaleDeliveryError,
    TlsFailedError,
    UnroutableError,
)
from tests.servers.amqp_faults import AmqpFaults
from tests.servers.process import free_port
from tests.servers.rabbitmq import RabbitMq
from tests.servers.running import Servers
from tests.servers.server import HOST

WRONG, BEFORE = "wrong", "before"


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


@pytest.fixture
def proxied(server: RabbitMq, namespace: str) -> Iterator[AmqpFaults]:
    with AmqpFaults(server, namespace) as faults:
        yield faults


@asynccontextmanager
async def opened(server: RabbitMq, namespace: str, **others: Any) -> AsyncGenerator[MessageBroker]:
    async with open_message_broker(**server.settings(namespace=namespace, **others)) as broker:
        await broker.create_exchange("events")
        yield broker


@asynccontextmanager
async def foreign(server: RabbitMq) -> AsyncGenerator[AbstractChannel]:
    """Give a channel of the driver's own, as another product has it."""
    connection = await aiormq.connect(server.url)
    try:
        yield await connection.channel()
    finally:
        await connection.close()


async def until(condition: Any, seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # a server changes it
            await asyncio.sleep(0.01)


async def test_broker_a1_a_frozen_broker_cancels_nobody(
    own_server: RabbitMq, namespace: str
) -> None:
    """The group hears an error, or the message is confirmed; it never ends in silence."""
    after: list[BaseException | None] = []

    async def publish(broker: MessageBroker) -> None:
        error: BaseException | None = None
        try:
            await broker.publish(b"frozen", exchange="events", timeout=4)
        except BaseException as caught:
            error = caught
            if isinstance(caught, asyncio.CancelledError):
                raise
        finally:
            after.append(error)

    async with opened(own_server, namespace, link_timeout=1) as broker:
        own_server.freeze()
        try:
            began = time.monotonic()
            async with asyncio.TaskGroup() as group:
                group.create_task(publish(broker))
                await until(lambda: broker.state is ConnectionState.DISCONNECTED)
                # At most twice link_timeout, and what the machine adds.
                assert time.monotonic() - began < 2 + 1
        finally:
            own_server.thaw()
        assert len(after) == 1
        assert isinstance(after[0], PublishUnconfirmedError)
        await until(lambda: broker.state is ConnectionState.CONNECTED)
        await broker.publish(b"thawed", exchange="events")


async def test_broker_a1_a_link_to_a_frozen_broker_is_closed_soon(
    own_server: RabbitMq, namespace: str
) -> None:
    async with opened(own_server, namespace) as broker, broker.subscribe("events", "queue"):
        before = {task for task in asyncio.all_tasks() if not task.done()}
        assert before
        own_server.freeze()
        began = time.monotonic()
        try:
            await broker.shutdown(grace=0.1)
            assert time.monotonic() - began < 0.1 + 2
        finally:
            own_server.thaw()


async def test_broker_a2_iteration_outlives_an_outage_with_a_full_buffer(
    server: RabbitMq, namespace: str, proxied: AmqpFaults
) -> None:
    async with (
        opened(server, namespace, endpoints=proxied.endpoint) as broker,
        broker.subscribe("events", "queue") as feed,
    ):
        for number in range(20):
            await broker.publish({"n": number}, exchange="events")
        assert (await feed.get(10))["n"] == 0
        proxied.drop_connection()
        await until(lambda: broker.state is ConnectionState.DISCONNECTED)
        await asyncio.sleep(1)
        proxied.restore_connection()
        found: dict[int, None] = {}
        while len(found) < 20:
            delivery = await feed.get(10)
            await delivery.ack()
            found[delivery["n"]] = None
        assert [*found] == [*range(20)]


async def test_broker_a3_a_delivery_of_a_lost_link_is_stale(
    server: RabbitMq, namespace: str, proxied: AmqpFaults
) -> None:
    async with (
        opened(server, namespace, endpoints=proxied.endpoint) as broker,
        broker.subscribe("events", "queue") as feed,
    ):
        for number in range(5):
            await broker.publish({"n": number}, exchange="events")
        held = await feed.get(10)
        proxied.drop_consuming()
        await until(lambda: broker.state is ConnectionState.DISCONNECTED)
        await until(lambda: broker.state is ConnectionState.CONNECTED)
        with pytest.raises(StaleDeliveryError):
            await held.ack()
        again = [await feed.get(10) for _ in range(5)]
        assert [delivery["n"] for delivery in again] == [*range(5)]
        for delivery in again:
            await delivery.ack()


async def test_broker_a4_a_question_that_is_given_up_takes_nothing_along(
    own_server: RabbitMq, namespace: str
) -> None:
    async with (
        opened(own_server, namespace, operation_timeout=5) as broker,
        broker.subscribe("events", "queue") as feed,
    ):
        own_server.freeze()
        receipts = [broker.publish_nowait({"n": n}, exchange="events") for n in range(20)]
        questions = [
            asyncio.ensure_future(call)
            for call in (
                broker.create_queue("events", "other"),
                broker.create_exchange("elsewhere"),
                broker.server_info(),
                broker.delete_queue("missing"),
            )
        ]
        await asyncio.sleep(0.1)
        for question in questions:
            question.cancel()
        assert all(
            isinstance(each, asyncio.CancelledError)
            for each in await asyncio.gather(*questions, return_exceptions=True)
        )
        own_server.thaw()
        assert len(await asyncio.gather(*receipts)) == 20
        assert [(await feed.get(10))["n"] for _ in range(20)] == [*range(20)]
        # Neither link was lost.
        assert not any(delivery.redelivered for delivery in [await _next(broker, feed)])
        await broker.create_queue("events", "other")


async def _next(broker: MessageBroker, feed: Any) -> Any:
    await broker.publish({"n": -1}, exchange="events")
    return await feed.get(10)


async def test_broker_a5_messages_of_an_outage_wait_for_its_end(
    server: RabbitMq, namespace: str, proxied: AmqpFaults
) -> None:
    async with opened(server, namespace, endpoints=proxied.endpoint) as broker:
        await broker.create_queue("events", "queue")
        proxied.drop_connection()
        await until(lambda: broker.state is ConnectionState.DISCONNECTED)
        receipts = [broker.publish_nowait({"n": n}, exchange="events") for n in range(50)]
        await asyncio.sleep(0.2)
        proxied.restore_connection()
        assert len(await asyncio.gather(*receipts)) == 50
        async with broker.subscribe("events", "queue") as feed:
            found = [await feed.get(10) for _ in range(50)]
        assert [delivery["n"] for delivery in found] == [*range(50)]


async def test_broker_a6_a_return_is_matched_by_its_sending(
    server: RabbitMq, namespace: str
) -> None:
    async with opened(server, namespace) as broker:
        await broker.create_exchange("routed", kind="direct")
        await broker.create_queue("routed", "queue", routing_keys=["here"])
        for _ in range(20):
            nowhere, here = (
                broker.publish_nowait(
                    b"", exchange="routed", routing_key=key, message_id="same", mandatory=True
                )
                for key in ("nowhere", "here")
            )
            with pytest.raises(UnroutableError):
                await nowhere
            assert await here == "same"


async def test_broker_a7_a_mandatory_message_without_a_queue_is_an_error(
    server: RabbitMq, namespace: str
) -> None:
    async with opened(server, namespace) as broker:
        assert await broker.publish(b"", exchange="events")
        with pytest.raises(UnroutableError):
            await broker.publish(b"", exchange="events", mandatory=True)


async def test_broker_a8_a_deleted_queue_is_not_taken_for_one_that_is_there(
    server: RabbitMq, namespace: str
) -> None:
    async with opened(server, namespace) as broker:
        for _ in range(3):
            await broker.create_queue("events", "queue")
            assert f"{namespace}.queue" in server.queues()
            server.delete_queue(f"{namespace}.queue")
            assert f"{namespace}.queue" not in server.queues()


async def test_broker_a9_a_missing_virtual_host_is_named(server: RabbitMq, namespace: str) -> None:
    with pytest.raises(ConnectionFailedError, match="nowhere") as raised:
        async with opened(server, namespace, virtual_host="nowhere"):
            pass
    assert type(raised.value) is ConnectionFailedError


async def test_broker_a10_a_blocked_broker_is_seen_and_waits_are_bounded(
    own_server: RabbitMq, namespace: str
) -> None:
    async with (
        opened(own_server, namespace) as broker,
        broker.subscribe("events", "queue") as feed,
    ):
        await broker.publish({"n": 0}, exchange="events")
        own_server.set_alarm()
        receipt = broker.publish_nowait({"n": 1}, exchange="events")
        await until(lambda: broker.state is ConnectionState.BLOCKED)
        with pytest.raises((OperationTimeoutError, PublishUnconfirmedError)):
            await broker.publish({"n": 2}, exchange="events", timeout=0.2)
        # Consumers have a connection of their own.
        async with (await feed.get(10)).process():
            pass
        assert (await broker.server_info()).product == "RabbitMQ"
        own_server.clear_alarm()
        await receipt
        assert broker.state is ConnectionState.CONNECTED
        assert (await feed.get(10))["n"] == 1


async def test_broker_a11_a_lost_link_cancels_no_handler(server: RabbitMq, namespace: str) -> None:
    done: list[int] = []
    async with (
        opened(server, namespace) as broker,
        broker.subscribe("events", "queue") as feed,
    ):
        await broker.publish({"n": 1}, exchange="events")
        delivery = await feed.get(10)
        async with delivery.process():
            assert server.close_connections("an operator's will", name="asyncbackends consuming")
            await until(lambda: broker.state is ConnectionState.DISCONNECTED)
            await until(lambda: broker.state is ConnectionState.CONNECTED)
            done.append(delivery["n"])
        again = await feed.get(10)
        assert (again["n"], again.redelivered, done) == (1, True, [1])
        await again.ack()


async def test_broker_a12_endpoints_are_tried_in_turn(server: RabbitMq, namespace: str) -> None:
    began = time.monotonic()
    endpoints = f"{HOST}:{free_port()},{server.endpoint}"
    async with opened(server, namespace, endpoints=endpoints) as broker:
        assert time.monotonic() - began < 1
        assert (await broker.server_info()).product == "RabbitMQ"


async def test_broker_a13_a_password_that_was_changed_is_not_tried_for_ever(
    own_server: RabbitMq, namespace: str
) -> None:
    own_server.add_user("changing", BEFORE)
    with pytest.raises(AuthenticationFailedError):
        async with opened(own_server, namespace, username="changing", password=WRONG):
            pass
    async with opened(own_server, namespace, username="changing", password=BEFORE) as broker:
        own_server.change_password("changing", "after")
        own_server.close_connections("the password was changed")
        await until(lambda: broker.state is ConnectionState.CLOSED)
        with pytest.raises(BackendError, match="login"):
            await broker.publish(b"", exchange="events")


async def test_broker_a14_headers_of_any_type_arrive_as_text(
    server: RabbitMq, namespace: str
) -> None:
    """A message by somebody else is delivered whatever its headers are."""
    given: dict[str, Any] = {
        "text": "Grüße",
        "number": 7,
        "big": 2**62,
        "ratio": 0.5,
        "flag": True,
        "none": None,
        "list": [1, "a"],
        "table": {"a": 1},
        "bytes": bytearray(b"\xff\x00"),
    }
    async with (
        opened(server, namespace) as broker,
        broker.subscribe("events", "queue") as feed,
        foreign(server) as channel,
    ):
        properties = aiormq.spec.Basic.Properties(headers=given, message_id="n" * 255)
        for each in (properties, aiormq.spec.Basic.Properties()):
            await channel.basic_publish(b"{}", exchange=f"{namespace}.events", properties=each)
        first, bare = await feed.get(10), await feed.get(10)
        assert first.headers["text"] == "Grüße"
        assert (first.headers["number"], first.headers["big"]) == ("7", str(2**62))
        assert (first.headers["ratio"], first.headers["flag"]) == ("0.5", "true")
        assert set(first.headers) == set(given)
        assert all(isinstance(value, str) for value in first.headers.values())
        assert first.message_id == "n" * 255
        assert (bare.headers, bare.delivery_count) == ({}, 1)
        # The copy of such a message goes through too.
        await first.nack()
        assert (await feed.get(10)).headers == first.headers


async def test_broker_a15_the_driver_logs_nothing_of_its_own(
    server: RabbitMq, namespace: str, proxied: AmqpFaults, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        with pytest.raises(ConnectionFailedError):
            async with opened(server, namespace, endpoints=f"{HOST}:{free_port()}"):
                pass
        with pytest.raises(AuthenticationFailedError):
            async with opened(server, namespace, password=WRONG):
                pass
        async with opened(server, namespace, endpoints=proxied.endpoint) as broker:
            proxied.drop_connection()
            await until(lambda: broker.state is ConnectionState.DISCONNECTED)
            proxied.restore_connection()
            await until(lambda: broker.state is ConnectionState.CONNECTED)
            server.close_connections("an operator's will")
            await until(lambda: broker.state is not ConnectionState.CONNECTED)
    assert {record.name for record in caplog.records} == {"asyncbackends.broker"}
    assert not any(record.exc_info for record in caplog.records)
    secret = server.settings()["password"]
    assert secret not in caplog.text


async def test_broker_tls_is_had_or_nothing(
    server: RabbitMq, servers: Servers, namespace: str
) -> None:
    with pytest.raises(TlsFailedError):
        async with opened(server, namespace, tls="on"):
            pass
    with servers.fresh("rabbitmq", tls=servers.certificates) as secured:
        async with opened(secured, namespace) as broker, broker.subscribe("events") as feed:
            await broker.publish(b"x" * 900_000, exchange="events")
            assert len((await feed.get(10)).body) == 900_000
        settings = secured.settings()
        plain = {name: None for name in settings if name.startswith("tls_")}
        with pytest.raises(ConnectionFailedError, match="tls = on"):
            async with open_message_broker(
                **{**settings, **plain, "tls": "off", "namespace": namespace}
            ):
                pass


async def test_broker_a_right_that_is_missing_is_named(
    own_server: RabbitMq, namespace: str
) -> None:
    async with opened(own_server, namespace):
        pass
    own_server.add_user("reader", "secret", configure="", write="", read=".*")
    limited = {"namespace": namespace, "username": "reader", "password": "secret"}
    async with open_message_broker(**own_server.settings(**limited)) as broker:
        with pytest.raises(AccessDeniedError, match=r"other"):
            await broker.create_exchange("other")
        with pytest.raises(BackendError, match="events"):
            await broker.publish(b"", exchange="events", timeout=5)


async def test_broker_an_exchange_deleted_by_others_is_noticed(
    server: RabbitMq, namespace: str
) -> None:
    """AMQP leaves its queues as they are, and tells nobody."""
    async with opened(server, namespace) as broker, broker.subscribe("events", "queue") as feed:
        server.delete_exchange(f"{namespace}.events")
        began = time.monotonic()
        with pytest.raises(BackendError):
            await feed.get(10)
        assert time.monotonic() - began < 5


async def test_broker_poison_in_a_classic_queue_has_its_limit_too(
    server: RabbitMq, namespace: str
) -> None:
    """Such a queue does not count deliveries: this process does."""
    options = QueueOptions(queue_type="classic", max_deliveries=3, dead_letter="graves")
    async with opened(server, namespace) as broker:
        await broker.create_exchange("graves")
        await broker.create_queue("events", "queue", options=options)
        async with (
            broker.subscribe("graves") as dead,
            broker.subscribe("events", "queue") as feed,
        ):
            await broker.publish({"n": 1}, exchange="events")
            for count in (1, 2, 3):
                delivery = await feed.get(10)
                assert delivery.delivery_count == count
                await delivery.nack()
            letter = await dead.get(10)
            assert letter.death is not None
            assert letter.death.delivery_count == 3


async def test_broker_a_queue_that_is_not_durable_where_those_are_forbidden(
    servers: Servers, server: RabbitMq, namespace: str
) -> None:
    """It becomes a durable one; the setting is one of versions from 4.0 on."""
    forbids = {"deprecated_features.permit.transient_nonexcl_queues": "false"}
    is_old = (server.version() or "").startswith("3.")
    with servers.fresh("rabbitmq", options={} if is_old else forbids) as own:
        if not is_old:
            asked = "rabbit_deprecated_features:is_permitted(transient_nonexcl_queues)."
            assert own.evaluate(asked) == "false"
        async with opened(own, namespace) as broker:
            options = QueueOptions(durable=False)
            for _ in range(2):
                await broker.create_queue("events", "queue", options=options)
            async with broker.subscribe("events", "queue") as feed:
                await broker.publish({"n": 1}, exchange="events")
                assert (await feed.get(10))["n"] == 1
