"""The proxy before RabbitMQ breaks what it is told to break, and nothing else."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

import aiormq
import pamqp.commands
import pytest
from aiormq import Channel
from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage

from asyncbackends.testing import LinkFaults
from tests.servers.amqp_faults import AmqpFaults, restart_broker
from tests.servers.rabbitmq import RabbitMq
from tests.servers.running import Servers

WAIT = 10.0
NAMESPACE = "proxied"
GONE = (aiormq.exceptions.AMQPError, OSError, RuntimeError)
T = TypeVar("T")

_: type[LinkFaults] = AmqpFaults


@contextlib.asynccontextmanager
async def linked(
    server: RabbitMq, endpoint: str, sort: str, **properties: Any
) -> AsyncGenerator[AbstractConnection]:
    """Connect as an engine's link of this sort does."""
    parts = (server.username, server.password, server.settings()["virtual_host"])
    user, password, host = (quote(part, safe="") for part in parts)
    address = f"amqp://{user}:{password}@{endpoint}/{host}?name=asyncbackends%20{sort}"
    connection = await within(aiormq.connect(address, client_properties=properties))
    try:
        yield connection
    finally:
        with contextlib.suppress(*GONE):
            await within(connection.close())


async def within(call: Awaitable[T]) -> T:
    async with asyncio.timeout(WAIT):
        return await call


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT):
        while not condition():  # noqa: ASYNC110  # a server or a driver changes it
            await asyncio.sleep(0.005)


async def ended(*connections: AbstractConnection) -> None:
    await eventually(lambda: all(each.is_closed for each in connections))


class Queue:
    """A queue on an exchange of the same name, and a channel on a link for consuming."""

    def __init__(self, server: RabbitMq, own: AbstractChannel, channel: AbstractChannel) -> None:
        self.name = uuid4().hex
        self.full_name = f"{NAMESPACE}.{self.name}"
        self.channel = channel
        self._server = server
        self._own = own

    async def make(self) -> None:
        await self.channel.exchange_declare(self.full_name, exchange_type="fanout", durable=True)
        await self.channel.queue_declare(self.full_name, durable=True)
        await self.channel.queue_bind(self.full_name, self.full_name)

    async def remove(self) -> None:
        await self._own.queue_delete(self.full_name)
        await self._own.exchange_delete(self.full_name)

    def publish(self, channel: AbstractChannel, *names: str) -> list[asyncio.Task[Any]]:
        """Publish messages with these bodies and ids, all at once."""
        return [asyncio.create_task(self._publish(channel, name)) for name in names]

    async def _publish(self, channel: AbstractChannel, name: str) -> None:
        properties = pamqp.commands.Basic.Properties(message_id=name, delivery_mode=2)
        await channel.basic_publish(name.encode(), exchange=self.full_name, properties=properties)

    async def receive(self, count: int) -> None:
        """Consume, and settle nothing."""
        received: list[DeliveredMessage] = []

        async def receive(message: DeliveredMessage) -> None:
            received.append(message)

        await self.channel.basic_consume(self.full_name, receive)
        await eventually(lambda: len(received) == count)

    async def holds(self, ready: int, unsettled: int = 0) -> None:
        """Wait until it does."""

        def does() -> bool:
            found = self._server.queue(self.full_name)
            return (found["messages_ready"], found["messages_unacknowledged"]) == (
                ready,
                unsettled,
            )

        await eventually(does)

    async def take(self) -> list[str]:
        """Take all that is in it, past the proxy."""
        found: list[str] = []
        while (message := await self._own.basic_get(self.full_name, no_ack=True)).delivery_tag:
            found.append(message.body.decode())
        return found


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        assert task.cancel()
    await asyncio.wait(tasks)


class TestAmqpFaults:
    engine = "rabbitmq"

    @pytest.fixture
    def server(self, servers: Servers) -> RabbitMq:
        return servers.get("rabbitmq")

    @pytest.fixture
    def faults(self, server: RabbitMq) -> Generator[AmqpFaults]:
        with AmqpFaults(server, NAMESPACE) as faults:
            yield faults

    @pytest.fixture
    async def publishing(
        self, server: RabbitMq, faults: AmqpFaults
    ) -> AsyncGenerator[AbstractChannel]:
        async with linked(server, faults.endpoint, "publishing") as connection:
            yield await connection.channel()

    @pytest.fixture
    async def queue(self, server: RabbitMq, faults: AmqpFaults) -> AsyncGenerator[Queue]:
        async with (
            linked(server, server.endpoint, "own") as own,
            linked(server, faults.endpoint, "consuming") as consuming,
        ):
            queue = Queue(server, await own.channel(), await consuming.channel())
            await queue.make()
            yield queue
            await queue.remove()

    async def test_without_a_fault_all_passes(
        self, publishing: AbstractChannel, queue: Queue
    ) -> None:
        names = ["", *map(str, range(100)), "x" * 100, "last"]
        await within(asyncio.gather(*queue.publish(publishing, *names)))
        large = "y" * 300_000
        await publishing.basic_publish(large.encode(), exchange=queue.full_name)
        await queue.receive(len(names) + 1)
        await queue.channel.basic_ack(len(names), multiple=True)
        await queue.channel.basic_nack(len(names) + 1)
        await queue.holds(0, 1)
        await queue.channel.close()
        assert await queue.take() == [large]

    async def test_drop_connection(
        self, server: RabbitMq, faults: AmqpFaults, publishing: AbstractChannel, queue: Queue
    ) -> None:
        faults.drop_connection()
        await ended(publishing.connection, queue.channel.connection)
        with pytest.raises(GONE):
            async with linked(server, faults.endpoint, "publishing"):
                pass
        assert faults.connections == 0
        faults.restore_connection()
        async with linked(server, faults.endpoint, "publishing"):
            assert faults.connections == 1

    @pytest.mark.parametrize("sort", ["publishing", "consuming"])
    async def test_drop_links_of_one_sort(
        self, faults: AmqpFaults, publishing: AbstractChannel, queue: Queue, sort: str
    ) -> None:
        links = {"publishing": publishing, "consuming": queue.channel}
        getattr(faults, f"drop_{sort}")()
        await ended(links.pop(sort).connection)
        (other,) = links.values()
        await within(other.exchange_declare(queue.full_name, passive=True))

    async def test_mute_publishing(
        self, server: RabbitMq, faults: AmqpFaults, publishing: AbstractChannel, queue: Queue
    ) -> None:
        faults.mute_publishing()
        sending = queue.publish(publishing, "1")
        async with linked(server, faults.endpoint, "publishing") as connection:
            await within(asyncio.gather(*queue.publish(await connection.channel(), "2")))
        assert await queue.take() == ["2"]
        assert not publishing.is_closed
        await cancel(*sending)
        faults.drop_publishing()

    async def test_held_confirms(
        self, faults: AmqpFaults, publishing: AbstractChannel, queue: Queue
    ) -> None:
        faults.hold_confirms()
        sending = queue.publish(publishing, "1", "2", "3")
        await queue.holds(3)
        await asyncio.sleep(0.02)
        assert not any(each.done() for each in sending)
        faults.release_confirms()
        await within(asyncio.gather(*sending))

    async def test_held_confirms_are_lost_with_their_link(
        self, server: RabbitMq, faults: AmqpFaults, publishing: AbstractChannel, queue: Queue
    ) -> None:
        faults.hold_confirms()
        (sending,) = queue.publish(publishing, "1")
        await queue.holds(1)
        faults.drop_publishing()
        faults.release_confirms()
        with pytest.raises(GONE):
            await within(sending)
        async with linked(server, faults.endpoint, "publishing") as connection:
            await within(asyncio.gather(*queue.publish(await connection.channel(), "2")))

    async def test_lost_confirms(
        self, faults: AmqpFaults, publishing: AbstractChannel, queue: Queue
    ) -> None:
        await within(asyncio.gather(*queue.publish(publishing, "first")))
        faults.lose_confirms(2)
        names = [str(number) for number in range(50)]
        sending = queue.publish(publishing, *names)
        await within(asyncio.gather(*sending[2:], *queue.publish(publishing, "last")))
        assert not any(each.done() for each in sending[:2])
        assert await queue.take() == ["first", *names, "last"]
        await cancel(*sending[:2])

    async def test_refused_message(
        self, faults: AmqpFaults, publishing: AbstractChannel, queue: Queue
    ) -> None:
        await within(asyncio.gather(*queue.publish(publishing, "first")))
        faults.refuse_next()
        names = [str(number) for number in range(50)]
        refused, *others = queue.publish(publishing, *names)
        with pytest.raises(aiormq.exceptions.DeliveryError) as refusal:
            await within(refused)
        assert isinstance(refusal.value.frame, pamqp.commands.Basic.Nack)
        await within(asyncio.gather(*others))
        assert await queue.take() == ["first", *names[1:]]

    @pytest.mark.parametrize("multiple", [False, True], ids=["each", "multiple"])
    async def test_lost_settles(
        self, faults: AmqpFaults, publishing: AbstractChannel, queue: Queue, multiple: bool
    ) -> None:
        await within(asyncio.gather(*queue.publish(publishing, *"012345")))
        await queue.receive(6)
        faults.lose_settles(2)
        for tag in (3, 5) if multiple else range(1, 6):
            await queue.channel.basic_ack(tag, multiple=multiple)
        await queue.channel.basic_reject(6, requeue=False)
        await queue.holds(0, 2)
        faults.drop_consuming()
        await queue.holds(2)
        assert await queue.take() == ["0", "1"]

    @pytest.mark.parametrize("multiple", [False, True], ids=["each", "multiple"])
    async def test_cut_in_the_middle_of_settles(
        self, faults: AmqpFaults, publishing: AbstractChannel, queue: Queue, multiple: bool
    ) -> None:
        await within(asyncio.gather(*queue.publish(publishing, *"0123456789")))
        await queue.receive(10)
        faults.drop_in_settle(4)
        for tag in [10] if multiple else range(1, 11):
            # It may be gone before the last.
            with contextlib.suppress(*GONE):
                await queue.channel.basic_ack(tag, multiple=multiple, wait=False)
        await ended(queue.channel.connection)
        await queue.holds(6)
        assert await queue.take() == [*"456789"]

    async def test_blocked_publisher(
        self,
        server: RabbitMq,
        faults: AmqpFaults,
        publishing: AbstractChannel,
        queue: Queue,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def told(word: str) -> int:
            return caplog.text.count(f"was {word}")

        faults.block()
        await eventually(lambda: told("blocked") == 1)
        async with linked(server, faults.endpoint, "publishing", capabilities={}) as deaf:
            sending = queue.publish(await deaf.channel(), *"0123456789")
            await asyncio.sleep(0.05)
            assert not any(each.done() for each in sending)
            async with linked(server, faults.endpoint, "publishing"):
                await eventually(lambda: told("blocked") == 2)
            assert await queue.take() == []
            faults.unblock()
            await eventually(lambda: told("unblocked") == 1)
            await within(asyncio.gather(*sending, *queue.publish(publishing, "last")))
        assert sorted(await queue.take())[:10] == [*"0123456789"]

    async def test_message_that_closes_the_channel(
        self, faults: AmqpFaults, publishing: AbstractChannel, queue: Queue
    ) -> None:
        faults.close_at("culprit")
        for _ in range(2):
            channel = await publishing.connection.channel()
            for sending in queue.publish(channel, "culprit", "behind"):
                with pytest.raises(aiormq.exceptions.ChannelPreconditionFailed, match="larger"):
                    await within(sending)
            await within(asyncio.gather(*queue.publish(publishing, "other channel")))
        assert await queue.take() == ["other channel"] * 2

    async def test_lost_messages(
        self, faults: AmqpFaults, publishing: AbstractChannel, queue: Queue
    ) -> None:
        await within(asyncio.gather(*queue.publish(publishing, *"01")))
        await queue.channel.basic_qos(prefetch_count=1)
        await queue.receive(1)
        faults.lose_messages(queue.name)
        await queue.holds(0, 1)

    @pytest.mark.parametrize("what", ["queue", "exchange"])
    async def test_deletions(
        self, server: RabbitMq, faults: AmqpFaults, queue: Queue, what: str
    ) -> None:
        await queue.receive(0)
        assert isinstance(queue.channel, Channel)
        consumers = queue.channel.consumers
        assert consumers
        getattr(faults, f"delete_{what}")(queue.name)
        assert queue.full_name not in server.queues()
        assert (queue.full_name in server.exchanges()) == (what == "queue")
        # The server says so.
        await eventually(lambda: not consumers)

    async def test_deleted_exchange_without_its_queues(
        self, server: RabbitMq, faults: AmqpFaults, queue: Queue
    ) -> None:
        faults.delete_exchange(queue.name, queues=False)
        assert queue.full_name in server.queues()
        assert queue.full_name not in server.exchanges()

    async def test_restart_of_a_server_that_others_use(
        self, server: RabbitMq, faults: AmqpFaults, publishing: AbstractChannel, queue: Queue
    ) -> None:
        fleeting = f"{queue.full_name}-fleeting"
        await within(asyncio.gather(*queue.publish(publishing, "1")))
        await queue.channel.exchange_declare(fleeting)
        await queue.channel.queue_declare(fleeting)
        faults.restart()
        await ended(publishing.connection, queue.channel.connection)
        assert fleeting not in [*server.queues(), *server.exchanges()]
        async with linked(server, faults.endpoint, "publishing") as connection:
            await within(asyncio.gather(*queue.publish(await connection.channel(), "2")))
        assert await queue.take() == ["1", "2"]

    async def test_clear(
        self, server: RabbitMq, faults: AmqpFaults, publishing: AbstractChannel, queue: Queue
    ) -> None:
        faults.block()
        faults.hold_confirms()
        faults.lose_confirms(1)
        faults.refuse_next()
        faults.close_at("1")
        faults.lose_settles(1)
        faults.drop_in_settle(0)
        faults.clear()
        await within(asyncio.gather(*queue.publish(publishing, "1")))
        await queue.receive(1)
        await queue.channel.basic_ack(1)
        await queue.holds(0)
        faults.drop_connection()
        faults.clear()
        async with linked(server, faults.endpoint, "publishing"):
            pass

    async def test_real_restart(self, servers: Servers) -> None:
        with servers.fresh("rabbitmq") as server:
            restart = partial(restart_broker, server)
            with AmqpFaults(server, NAMESPACE, restart=restart) as faults:
                async with (
                    linked(server, faults.endpoint, "publishing") as publishing,
                    linked(server, faults.endpoint, "consuming") as consuming,
                ):
                    queue = Queue(server, await publishing.channel(), await consuming.channel())
                    await queue.make()
                    # An exchange that is not durable outlives a restart of 4.3.
                    await queue.channel.queue_declare("goes")
                    channel = await publishing.channel()
                    await within(asyncio.gather(*queue.publish(channel, "1")))
                    faults.restart()
                    await ended(publishing, consuming)
                assert "goes" not in server.queues()
                await queue.holds(1)
                async with linked(server, faults.endpoint, "publishing") as again:
                    channel = await again.channel()
                    await within(asyncio.gather(*queue.publish(channel, "2")))
