"""What is known of nats-py, on a real server: each trap, and that we are not in it.

The names hold the numbers of the faults that were found in the driver.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends import (
    ConnectionState,
    MessageBroker,
    QueueOptions,
    open_message_broker,
)
from asyncbackends.errors import (
    AccessDeniedError,
    AuthenticationFailedError,
    BackendError,
    ConfigurationError,
    ConnectionFailedError,
    DeliveryGapError,
    MessageTooLargeError,
    NotSupportedError,
    OperationTimeoutError,
    TlsFailedError,
)
from asyncbackends.protocols.guarantees import Guarantee
from tests.servers.nats import Nats
from tests.servers.nats_faults import NatsFaults
from tests.servers.process import free_port
from tests.servers.running import Servers
from tests.servers.server import HOST, first_program

QUICK = 3.0
"""Seconds, where the driver takes minutes or for ever."""


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


async def refusal(**settings: Any) -> tuple[BackendError, float]:
    """Give the error in which first contact ends, and after how many seconds."""
    began = time.monotonic()
    with pytest.raises(BackendError) as caught:
        async with open_message_broker(**settings):
            pytest.fail("it was opened")
    return caught.value, time.monotonic() - began


async def until(broker: MessageBroker, state: ConnectionState) -> None:
    async with asyncio.timeout(20), broker.states() as states:
        async for status in states:
            if status.state is state:
                return


@asynccontextmanager
async def recorded(server: Nats) -> AsyncGenerator[tuple[str, bytearray]]:
    """Stand in front of a server and keep what clients say to it."""
    said = bytearray()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keep: bool) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if keep:
                    said.extend(data)
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection(HOST, server.port)
        async with asyncio.TaskGroup() as group:
            group.create_task(copy(reader, ours, keep=True))
            group.create_task(copy(theirs, writer, keep=False))

    listener = await asyncio.start_server(serve, HOST, 0)
    async with listener:
        yield f"{HOST}:{listener.sockets[0].getsockname()[1]}", said
        # Copies end with their peers.
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("identity", ["unknown", "wrong_name", "expired"])
async def test_broker_n1_certificate_is_refused_at_once(servers: Servers, identity: str) -> None:
    certificates = servers.certificates
    chosen = getattr(certificates, identity)
    with servers.fresh("nats", tls=certificates, identity=chosen) as server:
        error, seconds = await refusal(**server.settings())
    assert isinstance(error, TlsFailedError)
    assert seconds < QUICK


async def test_broker_n1_plain_text_to_a_server_that_demands_tls(servers: Servers) -> None:
    with servers.fresh("nats", tls=servers.certificates) as server:
        error, seconds = await refusal(**server.settings(tls="off"))
        assert isinstance(error, TlsFailedError)
        assert "tls = on" in str(error)
        assert seconds < QUICK
        async with open_message_broker(**server.settings()) as broker:
            assert (await broker.server_info()).product == "NATS"


async def test_broker_n1_never_plain_text_where_tls_is_on(
    servers: Servers, server: Nats, namespace: str
) -> None:
    """nats-py says CONNECT, with the password, to a server that does not ask for TLS."""
    async with recorded(server) as (endpoint, said):
        error, seconds = await refusal(
            engine="nats",
            endpoints=endpoint,
            namespace=namespace,
            tls="on",
            tls_ca_file=str(servers.certificates.ca),
            username="tester",
            password="the-secret",  # noqa: S106  # of nobody
        )
        assert isinstance(error, TlsFailedError)
        assert seconds < QUICK
        assert said == b""


async def test_broker_n1_optional_tls_is_not_enough(servers: Servers) -> None:
    options = {"allow_non_tls": "true"}
    with servers.fresh("nats", tls=servers.certificates, options=options) as server:
        assert isinstance(server, Nats)
        async with recorded(server) as (endpoint, said):
            error, _ = await refusal(**server.settings(endpoints=endpoint))
            assert isinstance(error, TlsFailedError)
            assert said == b""


async def test_broker_n2_wrong_password_is_not_tried_again(servers: Servers) -> None:
    with servers.fresh("nats", accounts=True) as server:
        error, seconds = await refusal(**server.settings(password="wrong"))  # noqa: S106  # the same
        assert isinstance(error, AuthenticationFailedError)
        assert "wrong" not in str(error)
        assert seconds < QUICK
        async with open_message_broker(**server.settings()) as broker:
            assert (await broker.server_info()).product == "NATS"


async def test_nkey_is_a_login(servers: Servers, tmp_path: Path) -> None:
    nkeys: Any = import_module("nkeys")  # it has no types
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    public = nkeys.from_seed(seed).public_key.decode()
    file = tmp_path / "user.nk"
    file.write_bytes(bytes(seed))
    with servers.fresh("nats", accounts=True, users=[f"{{nkey: {public}}}"]) as server:
        login: dict[str, Any] = {"username": None, "password": None}
        settings = {**server.settings(), **login}
        async with open_message_broker(**settings, nkey_seed_file=str(file)) as broker:
            await broker.create_exchange("events")
        error, _ = await refusal(**settings)
        assert isinstance(error, AuthenticationFailedError)
        error, _ = await refusal(**settings, nkey_seed_file=str(tmp_path / "missing"))
        assert isinstance(error, ConfigurationError)


@pytest.mark.parametrize("option", ["nkey_seed_file", "credentials_file"])
@pytest.mark.parametrize("content", ["", "SUAnoseed", "-----BEGIN USER NKEY SEED-----\nSUAno\n"])
async def test_login_that_is_none_is_named(
    server: Nats, namespace: str, tmp_path: Path, option: str, content: str
) -> None:
    """nats-py ends in an error without a word, or looks for a line for ever."""
    file = tmp_path / "login"
    file.write_text(content)
    settings = server.settings(namespace=namespace)
    error, _ = await refusal(**settings, **{option: str(file)})
    assert isinstance(error, ConfigurationError)
    assert option in str(error)
    assert "SUAno" not in str(error)


async def test_credentials_without_a_jwt_are_named(
    server: Nats, namespace: str, tmp_path: Path
) -> None:
    nkeys: Any = import_module("nkeys")  # it has no types
    seed = bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)).decode()
    file = tmp_path / "login"
    file.write_text(f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n")
    settings = server.settings(namespace=namespace)
    error, _ = await refusal(**settings, credentials_file=str(file))
    assert isinstance(error, ConfigurationError)
    assert "JWT" in str(error)


async def test_ack_that_is_denied_is_logged(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    with servers.fresh(
        "nats", accounts=True, permissions='{publish: {deny: "$JS.ACK.>"}}'
    ) as found:
        async with open_message_broker(**found.settings()) as broker:
            await broker.create_exchange("events")
            async with broker.subscribe("events", "q") as feed:
                await broker.publish({"n": 1}, exchange="events")
                await (await feed.get(5)).ack()
                for _ in range(100):
                    if "$JS.ACK" in caplog.text:
                        break
                    await asyncio.sleep(0.05)
                assert "$JS.ACK" in caplog.text


async def test_broker_n3_refused_port_fails_at_once(server: Nats, namespace: str) -> None:
    dead = f"{HOST}:{free_port()}"
    error, seconds = await refusal(engine="nats", endpoints=dead, namespace=namespace)
    assert isinstance(error, ConnectionFailedError)
    assert seconds < QUICK
    endpoints = f"{dead},{server.endpoint}"
    async with open_message_broker(
        engine="nats", endpoints=endpoints, namespace=namespace
    ) as broker:
        assert broker.state is ConnectionState.CONNECTED


async def test_broker_n4_n8_denial_reaches_its_publisher_alone(servers: Servers) -> None:
    permissions = '{publish: {deny: ["ab.*.denied.>", "$JS.API.STREAM.CREATE.AB-x-none"]}}'
    with servers.fresh("nats", accounts=True, permissions=permissions) as server:
        async with open_message_broker(**server.settings(namespace="x")) as broker:
            for exchange in ("denied", "open"):
                await broker.create_exchange(exchange)
            began = time.monotonic()
            async with broker.subscribe("open") as feed:
                receipts = [broker.publish_nowait({"n": n}, exchange="open") for n in range(3)]
                with pytest.raises(AccessDeniedError):
                    await broker.publish({"n": 0}, exchange="denied")
                with pytest.raises(AccessDeniedError):
                    await broker.create_exchange("none")
                await broker.publish({"n": 3}, exchange="open")
                for receipt in receipts:
                    await receipt
                assert [(await feed.get(5))["n"] for _ in range(4)] == [0, 1, 2, 3]
            assert time.monotonic() - began < QUICK
            assert broker.state is ConnectionState.CONNECTED


async def test_broker_n5_what_timed_out_is_not_sent_later(own_server: Nats, namespace: str) -> None:
    settings = own_server.settings(namespace=namespace)
    async with open_message_broker(**settings) as broker:
        await broker.create_exchange("events")
        await broker.create_queue("events", "all")
        own_server.stop()
        await until(broker, ConnectionState.DISCONNECTED)
        with pytest.raises(OperationTimeoutError) as caught:
            await broker.publish({"n": 1}, exchange="events", timeout=0.2)
        assert not caught.value.maybe_applied
        own_server.start()
        await broker.publish({"n": 2}, exchange="events")
        async with broker.subscribe("events", "all") as feed:
            assert (await feed.get(5))["n"] == 2


async def test_broker_n6_cancelled_waits_take_nothing_along(server: Nats, namespace: str) -> None:
    settings = server.settings(namespace=namespace)
    async with open_message_broker(**settings) as broker:
        await broker.create_exchange("events")
        async with broker.subscribe("events", "all") as feed:
            for number in range(40):
                waiting = asyncio.create_task(feed.get(5))
                await asyncio.sleep(0)
                waiting.cancel()
                published = broker.publish({"n": number}, exchange="events")
                with suppress(asyncio.CancelledError):
                    await waiting
                await published
                delivery = await feed.get(5)
                assert (delivery["n"], delivery.redelivered) == (number, False)
                await delivery.ack()


@pytest.mark.parametrize("what", ["CONSUMER.DELETE.{stream}.all", "STREAM.DELETE.{stream}"])
async def test_broker_n7_deleted_by_others_is_noticed(
    server: Nats, namespace: str, what: str
) -> None:
    settings = server.settings(namespace=namespace)
    async with open_message_broker(**settings) as broker:
        await broker.create_exchange("events")
        async with broker.subscribe("events", "all") as feed:
            stream = f"AB-{namespace}-events"
            server.ask(f"$JS.API.{what.format(stream=stream)}")
            if what.startswith("STREAM"):
                with pytest.raises(BackendError, match="events"):
                    await feed.get(5)
                return
            with pytest.raises(DeliveryGapError):
                await feed.get(5)
            await broker.publish({"n": 1}, exchange="events")
            assert (await feed.get(5))["n"] == 1


async def test_broker_n7_deleted_while_the_prefetch_is_used_up(
    server: Nats, namespace: str
) -> None:
    """There is no pull then, which could be refused."""
    settings = server.settings(namespace=namespace)
    async with open_message_broker(**settings) as broker:
        await broker.create_exchange("events")
        async with broker.subscribe("events", "all") as feed:
            for number in range(100):
                _ = broker.publish_nowait({"n": number}, exchange="events")
            await broker.flush()
            for _ in range(100):
                await feed.get(5)
            server.ask(f"$JS.API.CONSUMER.DELETE.AB-{namespace}-events.all")
            with pytest.raises(DeliveryGapError):
                await feed.get(5)


async def test_broker_n9_link_that_the_server_ended_has_a_successor(
    server: Nats, namespace: str
) -> None:
    with NatsFaults(server, namespace) as faults:
        settings = server.settings(namespace=namespace, endpoints=faults.endpoint)
        async with open_message_broker(**settings) as broker:
            await broker.create_exchange("events")
            faults.close_at("culprit")
            with pytest.raises(BackendError):
                await broker.publish(b"", exchange="events", message_id="culprit")
            assert await broker.publish(b"", exchange="events")


async def test_broker_n10_foreign_stream_is_no_exchange(server: Nats, namespace: str) -> None:
    stream = f"AB-{namespace}-events"
    server.ask(
        f"$JS.API.STREAM.CREATE.{stream}",
        {"name": stream, "subjects": [f"ab.{namespace}.events.>"]},
    )
    async with open_message_broker(**server.settings(namespace=namespace)) as broker:
        with pytest.raises(ConfigurationError, match="retention"):
            await broker.create_exchange("events")
        with pytest.raises(NotSupportedError):
            await broker.create_exchange("other")
            await broker.create_queue("other", "q", options=QueueOptions(max_length=5))


async def test_broker_n11_killed_server_delivers_again_without_saying_so(
    own_server: Nats, namespace: str
) -> None:
    async with open_message_broker(**own_server.settings(namespace=namespace)) as broker:
        assert Guarantee.EXACT_DELIVERY_COUNT not in broker.guarantees
        await broker.create_exchange("events")
        async with broker.subscribe("events", "all") as feed:
            for number in range(20):
                await broker.publish({"n": number}, exchange="events")
            assert [(await feed.get(5))["n"] for _ in range(20)] == [*range(20)]
            own_server.kill()
            own_server.start()
            found: set[int] = set()
            while len(found) < 20:
                delivery = await feed.get(10)
                assert delivery.delivery_count >= 1
                found.add(delivery["n"])
                await delivery.ack()


async def test_broker_n14_an_outage_has_no_longest_time(own_server: Nats, namespace: str) -> None:
    settings = own_server.settings(namespace=namespace, reconnect_max=0.05)
    async with open_message_broker(**settings) as broker:
        await broker.create_exchange("events")
        async with broker.subscribe("events", "all") as feed:
            own_server.kill()
            await until(broker, ConnectionState.DISCONNECTED)
            receipt = broker.publish_nowait({"n": 1}, exchange="events")
            # More than the 60 tries after which nats-py gives up for ever.
            await asyncio.sleep(4)
            own_server.start()
            await receipt
            assert (await feed.get(5))["n"] == 1


async def test_broker_n15_one_pull_stands(server: Nats, namespace: str) -> None:
    async with open_message_broker(**server.settings(namespace=namespace)) as broker:
        await broker.create_exchange("events")
        async with broker.subscribe("events", "all") as feed:
            for number in range(300):
                _ = broker.publish_nowait({"n": number}, exchange="events")
            for number in range(300):
                delivery = await feed.get(5)
                assert delivery["n"] == number
                await delivery.ack()
            await asyncio.sleep(0.1)
            found = server.ask(f"$JS.API.CONSUMER.INFO.AB-{namespace}-events.all")
            assert 1 <= found["num_waiting"] <= 2
            assert found["num_ack_pending"] == 0


async def test_silent_server_is_given_up_and_left_quickly(own_server: Nats, namespace: str) -> None:
    settings = own_server.settings(namespace=namespace, link_timeout=1)
    broker = open_message_broker(**settings).resolved.backend()
    await broker.connect()
    try:
        await broker.create_exchange("events")
        async with broker.subscribe("events", "all"):
            own_server.freeze()
            began = time.monotonic()
            await until(broker, ConnectionState.DISCONNECTED)
            assert time.monotonic() - began < 3
            began = time.monotonic()
            await broker.shutdown(grace=0.1)
            assert time.monotonic() - began < 2.1
    finally:
        own_server.thaw()
        await broker.shutdown()


async def test_message_over_the_servers_limit_is_refused_alone(
    servers: Servers, namespace: str
) -> None:
    with servers.fresh("nats", options={"max_payload": "2000"}) as server:
        async with open_message_broker(**server.settings(namespace=namespace)) as broker:
            await broker.create_exchange("events")
            receipts = [
                broker.publish_nowait(bytes(size), exchange="events") for size in (10, 3000, 10)
            ]
            with pytest.raises(MessageTooLargeError):
                await receipts[1]
            await receipts[0]
            await receipts[2]


async def test_server_without_jetstream_is_named() -> None:
    port, program = free_port(), first_program("nats-server", Path(sys.prefix) / "bin")
    process = await asyncio.create_subprocess_exec(
        str(program), "-a", HOST, "-p", str(port), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(10):
            while True:
                error, _ = await refusal(engine="nats", endpoints=f"{HOST}:{port}")
                if "JetStream" in str(error):
                    break
                await asyncio.sleep(0.05)
        assert isinstance(error, ConnectionFailedError)
    finally:
        process.terminate()
        await process.wait()
