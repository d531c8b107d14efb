"""The proxy before NATS breaks what it is told to break, and nothing else."""

import asyncio
import contextlib
import json
from base64 import b64decode
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from asyncbackends.testing import LinkFaults
from tests.servers.nats import Nats
from tests.servers.nats_faults import NatsFaults, ask_nats, nats_token
from tests.servers.running import Servers

WAIT = 10.0
NAMESPACE = "proxied"
T = TypeVar("T")

_: type[LinkFaults] = NatsFaults


class Connection:
    """A connection as an engine's link of this sort, and what it was told."""

    def __init__(self) -> None:
        self.client = Client()
        self.errors: list[str] = []

    async def connect(self, endpoint: str, sort: str) -> None:
        async def told(error: Exception) -> None:
            self.errors.append(repr(error))

        await within(
            self.client.connect(
                f"nats://{endpoint}",
                name=f"asyncbackends {sort}",
                allow_reconnect=False,
                connect_timeout=2,
                error_cb=told,
            )
        )

    @property
    def is_gone(self) -> bool:
        return self.client.is_closed

    def publish(self, queue: "Queue", *names: str) -> "list[asyncio.Task[dict[str, Any]]]":
        """Publish messages with these bodies and ids, all at once."""
        return [asyncio.create_task(self._publish(queue, name)) for name in names]

    async def _publish(self, queue: "Queue", name: str) -> dict[str, Any]:
        headers = {"Nats-Msg-Id": f"{queue.name} {quote(name)[:50]}"}
        said: Msg = await self.client.request(
            f"{queue.subject}.k", name.encode(), timeout=WAIT, headers=headers
        )
        answer: dict[str, Any] = json.loads(said.data)
        return answer


@contextlib.asynccontextmanager
async def linked(endpoint: str, sort: str) -> AsyncGenerator[Connection]:
    connection = Connection()
    await connection.connect(endpoint, sort)
    try:
        yield connection
    finally:
        with contextlib.suppress(nats.errors.Error, OSError):
            await within(connection.client.close())


async def within(call: Awaitable[T]) -> T:
    async with asyncio.timeout(WAIT):
        return await call


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT):
        while not await condition():  # noqa: ASYNC110  # a server or a driver changes it
            await asyncio.sleep(0.005)


async def ended(*connections: Connection) -> None:
    async def are_gone() -> bool:
        return all(each.is_gone for each in connections)

    await eventually(are_gone)


class Queue:
    """A stream with one consumer, and a link for consuming."""

    def __init__(self, server: Nats, link: Connection, storage: str = "file") -> None:
        self.name = f"it's {uuid4().hex}"
        self.token = nats_token(self.name)
        self.stream = f"AB-{NAMESPACE}-{self.token}"
        self.subject = f"ab.{NAMESPACE}.{self.token}"
        self.link = link
        self.received: list[Msg] = []
        self._storage = storage
        self._server = server

    async def ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Ask the server itself."""
        return (await ask_nats(self._server.endpoint, [(operation, arguments)]))[0]

    async def make(self) -> None:
        stream = {"name": self.stream, "subjects": [f"{self.subject}.>"], "retention": "interest"}
        made = await self.ask(f"STREAM.CREATE.{self.stream}", **stream, storage=self._storage)
        assert "error" not in made
        consumer = {"durable_name": self.token, "ack_policy": "explicit", "ack_wait": 10**9}
        made = await self.ask(
            f"CONSUMER.DURABLE.CREATE.{self.stream}.{self.token}",
            stream_name=self.stream,
            config=consumer,
        )
        assert "error" not in made

    async def remove(self) -> None:
        await self.ask(f"STREAM.DELETE.{self.stream}")

    async def info(self) -> tuple[int, int]:
        """How many messages wait, and how many are unsettled."""
        found = await self.ask(f"CONSUMER.INFO.{self.stream}.{self.token}")
        return found["num_pending"], found["num_ack_pending"]

    async def holds(self, waiting: int, unsettled: int = 0) -> None:
        async def does() -> bool:
            return await self.info() == (waiting, unsettled)

        await eventually(does)

    async def receive(self, count: int, link: Connection | None = None) -> list[Msg]:
        """Take so many, and settle nothing."""
        found: list[Msg] = []

        async def receive(message: Msg) -> None:
            found.append(message)

        client = (link or self.link).client
        inbox = client.new_inbox()
        await client.subscribe(inbox, cb=receive)  # pyright: ignore[reportUnknownMemberType]  # half typed
        asking = json.dumps({"batch": count}).encode()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.token}"
        await client.publish(subject, asking, reply=inbox)

        async def has() -> bool:
            return len(found) == count

        await eventually(has)
        return found

    async def stored(self) -> list[str]:
        """Give all that is in the stream."""
        state = (await self.ask(f"STREAM.INFO.{self.stream}"))["state"]
        if not state["messages"]:
            return []
        asking = [
            (f"STREAM.MSG.GET.{self.stream}", {"seq": number})
            for number in range(state["first_seq"], state["last_seq"] + 1)
        ]
        found = await ask_nats(self._server.endpoint, asking)
        return [b64decode(each["message"].get("data", "")).decode() for each in found]


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        assert task.cancel()
    await asyncio.wait(tasks)


def bodies(messages: list[Msg]) -> Iterator[str]:
    return (each.data.decode() for each in messages)


class TestNatsFaults:
    engine = "nats"

    @pytest.fixture
    def server(self, servers: Servers) -> Nats:
        return servers.get("nats")

    @pytest.fixture
    def faults(self, server: Nats) -> Generator[NatsFaults]:
        with NatsFaults(server, NAMESPACE) as faults:
            yield faults

    @pytest.fixture
    async def publishing(self, faults: NatsFaults) -> AsyncGenerator[Connection]:
        async with linked(faults.endpoint, "publishing") as connection:
            yield connection

    @pytest.fixture
    async def queue(self, server: Nats, faults: NatsFaults) -> AsyncGenerator[Queue]:
        async with linked(faults.endpoint, "consuming") as consuming:
            queue = Queue(server, consuming)
            await queue.make()
            yield queue
            await queue.remove()

    async def test_without_a_fault_all_passes(self, publishing: Connection, queue: Queue) -> None:
        names = ["", *map(str, range(100)), "x\r\nPONG\r\n" * 9_000]
        answers = await within(asyncio.gather(*publishing.publish(queue, *names)))
        assert [answer["seq"] for answer in answers] == [*range(1, 103)]
        received = await queue.receive(102)
        assert [*bodies(received)] == names
        for message in received:
            await message.ack()
        await queue.holds(0)

    async def test_drop_connection(
        self, faults: NatsFaults, publishing: Connection, queue: Queue
    ) -> None:
        faults.drop_connection()
        await ended(publishing, queue.link)
        with pytest.raises((nats.errors.Error, OSError)):
            async with linked(faults.endpoint, "publishing"):
                pass
        assert faults.connections == 0
        faults.restore_connection()
        async with linked(faults.endpoint, "publishing"):
            assert faults.connections == 1

    @pytest.mark.parametrize("sort", ["publishing", "consuming"])
    async def test_drop_links_of_one_sort(
        self, faults: NatsFaults, publishing: Connection, queue: Queue, sort: str
    ) -> None:
        links = {"publishing": publishing, "consuming": queue.link}
        getattr(faults, f"drop_{sort}")()
        await ended(links.pop(sort))
        (other,) = links.values()
        await within(other.client.flush())

    async def test_mute_publishing(
        self, faults: NatsFaults, publishing: Connection, queue: Queue
    ) -> None:
        faults.mute_publishing()
        sending = publishing.publish(queue, "1")
        async with linked(faults.endpoint, "publishing") as another:
            await within(asyncio.gather(*another.publish(queue, "2")))
        assert await queue.stored() == ["2"]
        await within(publishing.client.flush())
        await cancel(*sending)

    async def test_held_confirms(
        self, faults: NatsFaults, publishing: Connection, queue: Queue
    ) -> None:
        faults.hold_confirms()
        sending = publishing.publish(queue, "1", "2", "3")
        await queue.holds(3)
        await asyncio.sleep(0.02)
        assert not any(each.done() for each in sending)
        faults.release_confirms()
        await within(asyncio.gather(*sending))

    async def test_held_confirms_are_lost_with_their_link(
        self, faults: NatsFaults, publishing: Connection, queue: Queue
    ) -> None:
        faults.hold_confirms()
        sending = publishing.publish(queue, "1")
        await queue.holds(1)
        faults.drop_publishing()
        faults.release_confirms()
        await ended(publishing)
        async with linked(faults.endpoint, "publishing") as another:
            (answer,) = await within(asyncio.gather(*another.publish(queue, "1")))
        assert answer["duplicate"]
        for each in sending:
            each.cancel()
        await asyncio.wait(sending)

    async def test_lost_confirms(
        self, faults: NatsFaults, publishing: Connection, queue: Queue
    ) -> None:
        await within(asyncio.gather(*publishing.publish(queue, "first")))
        faults.lose_confirms(2)
        names = [str(number) for number in range(50)]
        sending = publishing.publish(queue, *names)
        await within(asyncio.gather(*sending[2:], *publishing.publish(queue, "last")))
        assert not any(each.done() for each in sending[:2])
        assert await queue.stored() == ["first", *names, "last"]
        await cancel(*sending[:2])

    async def test_refused_message(
        self, faults: NatsFaults, publishing: Connection, queue: Queue
    ) -> None:
        await within(asyncio.gather(*publishing.publish(queue, "first")))
        faults.refuse_next()
        names = [str(number) for number in range(50)]
        refused, *others = await within(asyncio.gather(*publishing.publish(queue, *names)))
        assert refused["error"]["err_code"] == 10077
        assert not any("error" in answer for answer in others)
        assert await queue.stored() == ["first", *names[1:]]

    async def test_lost_settles(
        self, faults: NatsFaults, publishing: Connection, queue: Queue
    ) -> None:
        await within(asyncio.gather(*publishing.publish(queue, *"0123")))
        received = await queue.receive(4)
        faults.lose_settles(3)
        await received[0].in_progress()
        await received[0].ack()
        await received[1].nak()
        await received[2].term()
        await received[3].ack()
        await queue.holds(0, 3)
        # When the time to ack is over.
        assert {*bodies(await queue.receive(3))} == {"0", "1", "2"}

    async def test_cut_in_the_middle_of_settles(
        self, faults: NatsFaults, publishing: Connection, queue: Queue
    ) -> None:
        await within(asyncio.gather(*publishing.publish(queue, *"0123456789")))
        received = await queue.receive(10)
        faults.drop_in_settle(4)
        for message in received:
            await message.ack()
        await ended(queue.link)
        await queue.holds(0, 6)
        async with linked(faults.endpoint, "consuming") as another:
            assert [*bodies(await queue.receive(6, another))] == [*"456789"]

    async def test_blocked_publisher(
        self, faults: NatsFaults, publishing: Connection, queue: Queue
    ) -> None:
        faults.block()
        async with linked(faults.endpoint, "publishing") as another:
            for link in (publishing, another):
                (answer,) = await within(asyncio.gather(*link.publish(queue, "1")))
                assert answer["error"]["err_code"] == 10023
        assert await queue.stored() == []
        faults.unblock()
        (answer,) = await within(asyncio.gather(*publishing.publish(queue, "1")))
        assert "error" not in answer
        assert await queue.stored() == ["1"]

    async def test_server_without_room_says_what_the_proxy_says(
        self, servers: Servers, faults: NatsFaults, publishing: Connection, queue: Queue
    ) -> None:
        """So that being blocked is the same in these tests and in earnest."""
        faults.block()
        (said_by_proxy,) = await within(asyncio.gather(*publishing.publish(queue, "1")))
        with servers.fresh("nats", options={"jetstream.max_file_store": "10000"}) as small:
            async with linked(small.endpoint, "publishing") as link:
                full = Queue(small, link)
                await full.make()
                names = [str(number) * 1000 for number in range(100, 110)]
                answers = await within(asyncio.gather(*link.publish(full, *names)))
        assert answers[-1]["error"] == said_by_proxy["error"]

    async def test_message_that_closes_the_link(
        self, faults: NatsFaults, publishing: Connection, queue: Queue
    ) -> None:
        faults.close_at(f"{queue.name} culprit")
        async with linked(faults.endpoint, "publishing") as another:
            for link in (publishing, another):
                sending = link.publish(queue, "before", "culprit", "behind")
                await ended(link)
                assert "maximum payload violation" in str(link.client.last_error).lower()
                for each in sending:
                    each.cancel()
                await asyncio.wait(sending)
        await queue.holds(1)
        assert await queue.stored() == ["before"]

    async def test_lost_messages(
        self, faults: NatsFaults, publishing: Connection, queue: Queue
    ) -> None:
        await within(asyncio.gather(*publishing.publish(queue, *"0123")))
        (held,) = await queue.receive(1)
        faults.lose_messages(queue.name)
        await queue.holds(0, 1)
        await held.ack()
        await queue.holds(0, 0)
        faults.lose_messages(queue.name)
        await within(asyncio.gather(*publishing.publish(queue, "4")))
        assert [*bodies(await queue.receive(1))] == ["4"]

    @pytest.mark.parametrize("what", ["queue", "exchange"])
    async def test_deletions(self, faults: NatsFaults, queue: Queue, what: str) -> None:
        for _ in range(2):
            getattr(faults, f"delete_{what}")(queue.name)
            answer = await queue.ask(f"CONSUMER.INFO.{queue.stream}.{queue.token}")
            assert answer["error"]["err_code"] == (10014 if what == "queue" else 10059)

    async def test_restart_of_a_server_that_others_use(
        self, server: Nats, faults: NatsFaults, publishing: Connection, queue: Queue
    ) -> None:
        fleeting = Queue(server, queue.link, "memory")
        await fleeting.make()
        await within(asyncio.gather(*publishing.publish(queue, "1")))
        faults.restart()
        await ended(publishing, queue.link)
        assert "error" in await queue.ask(f"STREAM.INFO.{fleeting.stream}")
        async with linked(faults.endpoint, "publishing") as another:
            await within(asyncio.gather(*another.publish(queue, "2")))
        assert await queue.stored() == ["1", "2"]

    async def test_clear(self, faults: NatsFaults, publishing: Connection, queue: Queue) -> None:
        faults.block()
        faults.hold_confirms()
        faults.lose_confirms(1)
        faults.refuse_next()
        faults.close_at(f"{queue.name} 1")
        faults.lose_settles(1)
        faults.drop_in_settle(0)
        faults.clear()
        (answer,) = await within(asyncio.gather(*publishing.publish(queue, "1")))
        assert "error" not in answer
        (message,) = await queue.receive(1)
        await message.ack()
        await queue.holds(0)
        faults.drop_connection()
        faults.clear()
        async with linked(faults.endpoint, "publishing"):
            pass

    async def test_real_restart(self, servers: Servers) -> None:
        with (
            servers.fresh("nats") as server,
            NatsFaults(server, NAMESPACE, restart=server.restart) as faults,
        ):
            async with linked(faults.endpoint, "publishing") as link:
                stays, goes = Queue(server, link), Queue(server, link, "memory")
                await stays.make()
                await goes.make()
                await within(asyncio.gather(*link.publish(stays, "1")))
                faults.restart()
                await ended(link)
            assert await stays.stored() == ["1"]
            assert "error" in await goes.ask(f"STREAM.INFO.{goes.stream}")
            async with linked(faults.endpoint, "publishing"):
                pass
