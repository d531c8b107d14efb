"""What is known of contact to etcd: logins, certificates, addresses; each trap, and that we are not in it.

The names hold the numbers of the faults that were found.
"""

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends import open_coordination
from asyncbackends.errors import (
    AuthenticationFailedError,
    BackendError,
    ConnectionFailedError,
    ConnectionLostError,
    TlsFailedError,
)
from asyncbackends.protocols.nodes import NodeEvent
from tests.faults.listener import Listener
from tests.servers.etcd import Etcd
from tests.servers.process import free_port
from tests.servers.running import Servers

LARGE = 1_000_000


@pytest.fixture
def server(servers: Servers) -> Etcd:
    found = servers.get("etcd")
    assert isinstance(found, Etcd)
    return found


@pytest.fixture
def settings(server: Etcd) -> dict[str, Any]:
    return server.settings(namespace=f"t{uuid4().hex[:12]}")


async def one_event(feed: Any) -> NodeEvent:
    async with asyncio.timeout(10):
        event = await anext(feed)
    assert isinstance(event, NodeEvent)
    return event


async def refusal(**settings: Any) -> tuple[BackendError, float]:
    """Give the error in which first contact ends, and after how many seconds."""
    began = time.monotonic()
    with pytest.raises(BackendError) as caught:
        async with open_coordination(**settings):
            pytest.fail("it was opened")
    return caught.value, time.monotonic() - began


async def test_coordination_e2_a_wrong_password_is_told_at_once(servers: Servers) -> None:
    with servers.fresh("etcd", accounts=True, durable=False) as server:
        for wrong in ({"password": "wrong"}, {"username": "nobody"}, {"username": None}):
            error, seconds = await refusal(**server.settings(**wrong))
            assert isinstance(error, AuthenticationFailedError)
            assert server.password not in str(error)
            assert seconds < 3


async def test_coordination_e11_a_server_without_accounts_takes_any(
    settings: dict[str, Any],
) -> None:
    login = {"username": "who", "password": "ever"}
    async with open_coordination(**settings, **login) as client:
        await client.create_node("/a", b"x")
        async with client.watch("/a", initial=True) as feed:
            assert (await one_event(feed)).value == b"x"


async def test_coordination_e11_a_token_is_renewed_once_for_all(servers: Servers) -> None:
    options = {"auth-token-ttl": "1"}
    with servers.fresh("etcd", accounts=True, durable=False, options=options) as server:
        async with (
            Listener(server) as listener,
            open_coordination(**server.settings(endpoints=listener.endpoint)) as client,
            client.watch("/a", scope="tree") as before,
        ):
            await client.create_node("/a")
            assert (await one_event(before)).path == "/a"
            # Its renewals would keep a token alive that is not tied to time alone.
            await asyncio.to_thread(server.change_password, server.username, server.password)
            logins = listener.everything.count(b"Auth/Authenticate")
            assert logins == 1
            await asyncio.gather(*(client.create_node(f"/a/{number}") for number in range(50)))
            assert listener.everything.count(b"Auth/Authenticate") == logins + 1
            assert len({(await one_event(before)).path for _ in range(50)}) == 50
            async with client.watch("/b", initial=True) as after:
                await client.create_node("/b")
                assert (await one_event(after)).path == "/b"
            session = client.session
            await asyncio.to_thread(server.change_password, server.username, server.password)
            # A watch is the first to need another token.
            async with client.watch("/c", initial=True) as later:
                await client.create_node("/c")
                assert (await one_event(later)).path == "/c"
            assert client.session is session


async def test_coordination_e11_tokens_end_by_time(servers: Servers) -> None:
    options = {"auth-token-ttl": "1"}
    with servers.fresh("etcd", accounts=True, durable=False, options=options) as server:
        # It is renewed every 10 s only, so the token is not used for longer than it lives.
        settings = server.settings(session_ttl=30)
        async with open_coordination(**settings) as client:
            await client.create_node("/a", b"x")
            await asyncio.sleep(3)
            async with client.watch("/a") as feed:
                await client.update_node("/a", b"y")
                assert (await one_event(feed)).value == b"y"
            await asyncio.sleep(3)
            assert await client.read_node("/a") == b"y"


async def test_coordination_e11_a_new_link_needs_no_login(servers: Servers) -> None:
    with servers.fresh("etcd", accounts=True, durable=False) as server:
        async with (
            Listener(server) as listener,
            open_coordination(
                **server.settings(endpoints=listener.endpoint, reconnect_max=0.05)
            ) as client,
        ):
            for _ in range(10):
                listener.cut()
                assert await client.get_children("/") == []
            assert len(listener.sent) == 11
            assert listener.everything.count(b"Auth/Authenticate") == 1


async def test_coordination_e11_a_storm_of_logins_ends(servers: Servers) -> None:
    """A login takes a server 0.1 s, also of one who has given up: who comes again must wait longer."""
    with servers.fresh("etcd", accounts=True, durable=False) as server:
        async with AsyncExitStack() as stack:
            settings = server.settings(reconnect_max=0.05, session_ttl=30)
            clients = [
                await stack.enter_async_context(open_coordination(**settings)) for _ in range(30)
            ]
            sessions = [client.session for client in clients]
            await clients[0].create_node("/a", b"x")
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            async with asyncio.timeout(80):
                for client in clients:
                    value = None
                    while value is None:
                        with contextlib.suppress(ConnectionLostError):
                            value = await client.read_node("/a")
            assert [client.session for client in clients] == sessions


async def test_coordination_e11_an_account_that_is_refused_later_ends_it(servers: Servers) -> None:
    with servers.fresh("etcd", accounts=True, durable=False) as server:
        async with open_coordination(**server.settings()) as client:
            await client.create_node("/a")
            await asyncio.to_thread(server.change_password, server.username, "another")
            with pytest.raises(AuthenticationFailedError):
                await client.read_node("/a")


@pytest.mark.parametrize("identity", ["unknown", "wrong_name", "expired"])
async def test_coordination_e12_a_wrong_certificate_is_refused(
    servers: Servers, identity: str
) -> None:
    certificates = servers.certificates
    chosen = getattr(certificates, identity)
    with servers.fresh("etcd", durable=False, tls=certificates, identity=chosen) as server:
        async with Listener(server) as listener:
            login = {"username": "tester", "password": "very-secret"}
            error, seconds = await refusal(**server.settings(endpoints=listener.endpoint, **login))
            assert isinstance(error, TlsFailedError)
            assert seconds < 3
            assert b"very-secret" not in listener.everything


async def test_coordination_e12_certificates_of_both_sides(servers: Servers) -> None:
    with servers.fresh(
        "etcd", durable=False, tls=servers.certificates, client_certificates=True
    ) as server:
        async with open_coordination(**server.settings()) as client:
            await client.create_node("/a", b"x" * LARGE)
            assert await client.read_node("/a") == b"x" * LARGE
            async with client.watch("/a") as feed:
                await client.update_node("/a", b"y")
                assert (await one_event(feed)).value == b"y"
        bare = {"tls_cert_file": None, "tls_key_file": None}
        error, seconds = await refusal(**server.settings(**bare))
        assert isinstance(error, TlsFailedError)
        assert seconds < 3
        error, _ = await refusal(**server.settings(**bare, tls="off", tls_ca_file=None))
        assert isinstance(error, ConnectionFailedError)
        assert "tls = on" in str(error)


async def test_coordination_e12_no_plain_text_where_tls_is_on(
    servers: Servers, server: Etcd
) -> None:
    async with Listener(server) as listener:
        tls = {"tls": "on", "tls_ca_file": str(servers.certificates.ca)}
        login = {"username": "tester", "password": "very-secret"}
        error, seconds = await refusal(
            **server.settings(endpoints=listener.endpoint, **tls, **login)
        )
        assert isinstance(error, TlsFailedError)
        assert seconds < 3
        assert b"very-secret" not in listener.everything


async def test_coordination_e13_addresses_of_version_6(servers: Servers) -> None:
    port = free_port()
    url = f"http://[::1]:{port}"
    with servers.fresh("etcd", durable=False) as server:
        server.stop()
        server.options["listen-client-urls"] = f"{server.url},{url}"
        server.process = server._process()  # pyright: ignore[reportPrivateUsage]  # it listens to more
        server.start()
        async with open_coordination(**server.settings(endpoints=f"[::1]:{port}")) as client:
            assert (await client.server_info()).product == "etcd"
