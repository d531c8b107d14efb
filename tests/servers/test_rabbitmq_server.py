"""The RabbitMQ servers of the harness, by a client of their own: the driver alone."""

import asyncio
import ssl
from typing import Any

import aiormq
import psutil
import pytest
from aiormq.abc import AbstractConnection

from tests.servers.rabbitmq import RabbitMq
from tests.servers.running import Servers
from tests.servers.server import HOST, CommandFailedError

WRONG, FIRST, SECOND = "wrong", "first", "second"
ENGINE = pytest.mark.parametrize("engine", ["rabbitmq"])
# A start takes it seconds, and on a busy machine three times as many.
pytestmark = pytest.mark.timeout(180)


async def connect(
    server: RabbitMq,
    *,
    username: str | None = None,
    password: str | None = None,
    context: ssl.SSLContext | None = None,
    name: str = "",
) -> AbstractConnection:
    login = f"{username or server.username}:{password or server.password}"
    scheme = "amqps" if server.tls else "amqp"
    connection = aiormq.Connection(f"{scheme}://{login}@{server.endpoint}/tests", context=context)
    async with asyncio.timeout(5):
        await connection.connect({"connection_name": name})  # pyright: ignore[reportUnknownMemberType]  # untyped there
    return connection


async def drops(connection: AbstractConnection) -> None:
    """Wait until a connection is lost."""
    lost: asyncio.Future[Any] = connection.closing  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # untyped there
    async with asyncio.timeout(5):
        await asyncio.wait([lost])
    lost.exception()


@ENGINE
async def test_what_is_durable_outlives_a_kill(servers: Servers, engine: str) -> None:
    with servers.fresh("rabbitmq") as server:
        connection = await connect(server)
        channel = await connection.channel()
        await channel.queue_declare("kept", durable=True)
        properties = aiormq.spec.Basic.Properties(delivery_mode=2)
        await channel.basic_publish(b"7", routing_key="kept", properties=properties)
        await connection.close()
        # What it declares is in a log of its own, which 3.10 brings to the disk when it likes.
        server.evaluate("catch mnesia:sync_log(), ok.")
        server.kill()
        server.start()
        assert server.queue("kept")["messages_ready"] == 1
        connection = await connect(server)
        channel = await connection.channel()
        got = await channel.basic_get("kept", no_ack=True)
        assert got.body == b"7"
        await connection.close()


@ENGINE
async def test_it_is_looked_into_and_meddled_with(servers: Servers, engine: str) -> None:
    server = servers.get("rabbitmq")
    ours = await connect(server, name="ours")
    theirs = await connect(server, name="theirs")
    channel = await ours.channel()
    await channel.queue_declare("queue", durable=True)
    await channel.exchange_declare("exchange", durable=True)
    assert "queue" in server.queues()
    assert "exchange" in server.exchanges()
    assert {each.name for each in server.connections()} >= {"ours", "theirs"}
    server.delete_queue("queue")
    server.delete_exchange("exchange")
    assert "queue" not in server.queues()
    assert "exchange" not in server.exchanges()
    with pytest.raises(CommandFailedError, match="not_found"):
        server.delete_queue("queue")
    assert server.close_connections("for a test", name="theirs") == 1
    await drops(theirs)
    assert not ours.is_closed
    await ours.close()


@ENGINE
async def test_an_alarm_blocks_who_publishes(servers: Servers, engine: str) -> None:
    server = servers.get("rabbitmq")
    connection = await connect(server, name="blocked")
    channel = await connection.channel()
    server.set_alarm()
    # It takes one more, by which it knows who publishes.
    await channel.basic_publish(b"", routing_key="nobody")
    publishing = asyncio.ensure_future(channel.basic_publish(b"", routing_key="nobody"))
    await asyncio.wait([publishing], timeout=0.3)
    assert not publishing.done()
    assert [each.state for each in server.connections() if each.name == "blocked"] == ["blocked"]
    server.clear_alarm()
    async with asyncio.timeout(5):
        await publishing
    await connection.close()


@ENGINE
async def test_accounts_are_told_apart(servers: Servers, engine: str) -> None:
    server = servers.get("rabbitmq")
    with pytest.raises(aiormq.exceptions.AMQPConnectionError, match="refused"):
        await connect(server, password=WRONG)
    server.add_user("reader", FIRST, configure="")
    connection = await connect(server, username="reader", password=FIRST)
    channel = await connection.channel()
    with pytest.raises(aiormq.exceptions.ChannelAccessRefused):
        await channel.queue_declare("mine")
    server.change_password("reader", SECOND)
    server.set_permissions("reader")
    channel = await connection.channel()
    await channel.queue_declare("mine", exclusive=True)
    with pytest.raises(aiormq.exceptions.AMQPConnectionError):
        await connect(server, username="reader", password=FIRST)
    server.delete_user("reader")
    await drops(connection)


@ENGINE
async def test_with_tls_it_takes_nothing_else(servers: Servers, engine: str) -> None:
    certificates = servers.certificates
    with servers.fresh("rabbitmq", tls=certificates, client_certificates=True) as server:
        assert server.settings()["tls"] == "on"
        context = ssl.create_default_context(cafile=str(certificates.ca))
        context.load_cert_chain(certificates.client.certificate, certificates.client.key)
        connection = await connect(server, context=context)
        await connection.close()
        for wrong in (
            ssl.create_default_context(cafile=str(certificates.other_ca)),
            ssl.create_default_context(cafile=str(certificates.ca)),
        ):
            with pytest.raises((aiormq.exceptions.AMQPError, OSError)):
                await connect(server, context=wrong)
        assert await first_word(server.port, b"AMQP\0\0\x09\x01") == b""


async def first_word(port: int, said: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(said)
    async with asyncio.timeout(5):
        try:
            answer = await reader.read(8)
        except ConnectionResetError:
            answer = b""
    writer.close()
    # An alert of TLS is no answer of AMQP.
    return b"" if answer.startswith(b"\x15") else answer


@ENGINE
def test_it_listens_once_and_keeps_its_secret(servers: Servers, engine: str) -> None:
    server = servers.get("rabbitmq")
    process = psutil.Process(server.process.pid)
    listening: list[Any] = []
    for each in [process, *process.children(recursive=True)]:
        assert server.password not in " ".join([*each.cmdline(), *each.environ().values()])
        connections = each.net_connections()
        listening += [link.laddr for link in connections if link.status == psutil.CONN_LISTEN]
    assert listening == [(HOST, server.port)]
    assert server.password not in server.process.log.read_text("utf-8", "replace")
