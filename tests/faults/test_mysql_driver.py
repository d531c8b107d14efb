"""What is known of aiomysql and asyncmy, on a real server: each trap, and that we are not in it."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncbackends import ConfigDatabase, ObjectType, Schema, open_config_database
from asyncbackends.errors import (
    AuthenticationFailedError,
    BackendError,
    ConnectionFailedError,
    InvalidRequestError,
    OperationTimeoutError,
    TlsFailedError,
)
from asyncbackends.sql.effects import Effects, NewElement
from asyncbackends.sql.server import Contended, Refused
from asyncbackends_mysql import driver_errors
from asyncbackends_mysql.connection import MysqlConnection
from asyncbackends_mysql.driver_errors import ServerError
from tests.faults.mysql_units import MysqlTables, open_tables
from tests.faults.postgres_units import changed, created
from tests.servers.proxy import Proxy
from tests.servers.running import Servers
from tests.servers.server import USERNAME, DatabaseServer

SCHEMA = Schema({"network": ObjectType(lists={"routes": None}), "other": ObjectType()})
FIRST, SECOND = sorted(str(uuid4()) for _ in range(2))
OURS = f"FROM information_schema.processlist WHERE user = '{USERNAME}'"
THREADS = f"SELECT count(*) {OURS}"
IDS = f"SELECT id {OURS}"


@pytest.fixture(params=["aiomysql", "asyncmy"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(servers: Servers) -> DatabaseServer:
    return servers.get("mysql")


class Site(NamedTuple):
    """Tables with a connection."""

    tables: MysqlTables
    connection: MysqlConnection

    async def rows(self, neutral: str, *parameters: object) -> list[tuple[object, ...]]:
        return await self.tables.rows(self.connection, neutral, *parameters)


@pytest_asyncio.fixture
async def site(server: DatabaseServer, driver: str) -> AsyncGenerator[Site]:
    async with open_tables(server, driver=driver) as tables:
        yield Site(tables, await tables.connection())


@asynccontextmanager
async def opened(
    server: DatabaseServer, driver: str, **others: Any
) -> AsyncGenerator[ConfigDatabase]:
    given: dict[str, Any] = {"driver": driver, "namespace": "driver", "schema": SCHEMA, **others}
    async with open_config_database(**server.settings(**given)) as database:
        yield database


async def new_network(database: ConfigDatabase, **content: Any) -> str:
    uuid = str(uuid4())
    await database.object_create("network", uuid, {"fq_name": [uuid], **content})
    return uuid


@asynccontextmanager
async def listening(greeting: bytes) -> AsyncGenerator[tuple[str, bytearray, list[int]]]:
    """Greet as a server does, and keep what comes; nobody answers it."""
    received, open_now = bytearray(), [0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now[0] += 1
        writer.write(greeting)
        with suppress(OSError):
            while data := await reader.read(1000):
                received.extend(data)
        open_now[0] -= 1
        writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        host, port = listener.sockets[0].getsockname()
        yield f"{host}:{port}", received, open_now


async def greeting_of(server: DatabaseServer, *, without: int = 0) -> bytes:
    """Give a server's greeting, without some of the capabilities in the middle of it."""
    host, _, port = server.endpoint.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    header = await reader.readexactly(4)
    greeting = bytearray(header + await reader.readexactly(int.from_bytes(header[:3], "little")))
    writer.transport.abort()
    # The version ends with a zero; then thread, salt, zero, and the lower half of them.
    at = greeting.index(0, 5) + 1 + 4 + 8 + 1
    greeting[at : at + 2] = (
        int.from_bytes(greeting[at : at + 2], "little") & ~without & 0xFFFF
    ).to_bytes(2, "little")
    return bytes(greeting)


async def test_database_m1_a_server_without_tls_receives_nothing(
    server: DatabaseServer, driver: str
) -> None:
    greeting = await greeting_of(server, without=1 << 11)
    async with listening(greeting) as (endpoint, received, _):
        with pytest.raises(TlsFailedError, match="offers no TLS"):
            async with opened(server, driver, endpoints=endpoint, tls="on"):
                pass
        assert received == b""


@pytest.mark.parametrize("plugin", [b"mysql_clear_password", b"dialog", b"mysql_old_password"])
async def test_database_m1_the_password_is_not_shown_to_a_server_that_asks(
    server: DatabaseServer, driver: str, plugin: bytes
) -> None:
    greeting = await greeting_of(server)
    switch = b"\xfe" + plugin + b"\0Password: \0"
    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        received.extend(await reader.read(1000))
        writer.write(len(switch).to_bytes(3, "little") + b"\x02" + switch)
        with suppress(OSError):
            while data := await reader.read(1000):
                received.extend(data)
        writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        host, port = listener.sockets[0].getsockname()
        with pytest.raises(AuthenticationFailedError, match="clear text"):
            async with opened(server, driver, endpoints=f"{host}:{port}"):
                pass
    assert server.username.encode() in received
    assert server.password.encode() not in received


@pytest.mark.parametrize("silent_from", [0, 4, 1000])
async def test_database_m2_a_server_that_stops_answering_in_the_login_is_given_up(
    server: DatabaseServer, driver: str, silent_from: int
) -> None:
    greeting = (await greeting_of(server))[:silent_from]
    async with listening(greeting) as (endpoint, _, open_now):
        began = time.monotonic()
        with pytest.raises(ConnectionFailedError, match="did not answer in time"):
            async with opened(server, driver, endpoints=endpoint, connect_timeout=0.3):
                pass
        assert time.monotonic() - began < 2
        await asyncio.sleep(0.05)
        assert open_now == [0]


async def test_database_m2_a_login_that_is_cancelled_leaves_no_socket(
    server: DatabaseServer, driver: str
) -> None:
    async with listening(b"") as (endpoint, _, open_now):
        for pause in (0, 0.001, 0.02):
            opening = asyncio.create_task(opened(server, driver, endpoints=endpoint).__aenter__())
            await asyncio.sleep(pause)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
        await asyncio.sleep(0.05)
        assert open_now == [0]


async def test_database_m2_every_call_on_a_frozen_server_ends(
    server: DatabaseServer, driver: str
) -> None:
    async with (
        Proxy(server.endpoint) as proxy,
        opened(server, driver, endpoints=proxy.endpoint, operation_timeout=0.5) as database,
    ):
        there = await new_network(database)
        proxy.freeze()
        for call in (database.object_get("network", there), new_network(database)):
            began = time.monotonic()
            with pytest.raises(BackendError) as caught:
                await call
            assert caught.value.retryable
            assert time.monotonic() - began < 1.5
        proxy.thaw()
        proxy.cut()
        assert (await database.object_get("network", there))["uuid"] == there


async def test_database_m3_waiting_for_a_connection_has_an_end(
    server: DatabaseServer, driver: str
) -> None:
    async with (
        Proxy(server.endpoint) as proxy,
        opened(
            server, driver, endpoints=proxy.endpoint, pool_size=1, operation_timeout=0.5
        ) as database,
    ):
        there = await new_network(database)
        proxy.delay = 0.4
        results = await asyncio.gather(
            *(database.object_get("network", there) for _ in range(4)), return_exceptions=True
        )
        assert any(isinstance(result, OperationTimeoutError) for result in results)
        proxy.delay = 0
        assert (await database.object_get("network", there))["uuid"] == there


async def test_database_m4_what_was_cancelled_ends_on_the_server_and_answers_nobody(
    site: Site, server: DatabaseServer
) -> None:
    connection = site.connection
    before = int(server.sql(THREADS))
    call = asyncio.create_task(connection.fetch("SELECT SLEEP(30)"))
    await asyncio.sleep(0.2)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not connection.reusable
    connection.abort()
    await connection.give_up()
    deadline = time.monotonic() + 2
    while int(server.sql(THREADS)) >= before:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    with pytest.raises(ServerError) as caught:
        await connection.fetch("SELECT 1")
    assert driver_errors.is_lost(caught.value)


async def test_database_m5_lists_of_parameters_are_rendered_here(site: Site) -> None:
    await site.connection.apply(created(FIRST, "a"))
    await site.connection.apply(created(SECOND, "b"))
    dialect = site.tables.engine.dialect
    found = await site.connection.fetch(
        site.tables.rendered("SELECT TEXT(fq) FROM ~object WHERE uuid IN ? AND fq IN ? ORDER BY 1"),
        [[dialect.id(FIRST), dialect.id(SECOND)], ("b", "%s", "'")],
    )
    assert [tuple(row) for row in found] == [("b",)]


async def test_database_m6_many_rows_are_one_packet(server: DatabaseServer, driver: str) -> None:
    async with (
        Proxy(server.endpoint) as proxy,
        opened(server, driver, endpoints=proxy.endpoint) as database,
    ):
        objects = [
            ("network", uuid := str(uuid4()), {"fq_name": [uuid], "routes": ["x"] * 5})
            for _ in range(300)
        ]
        await database.object_list("network", count=True)
        with proxy.counting() as trips:
            await database.object_create_many(objects)
        assert trips.count <= 2


async def test_database_m7_a_write_that_changes_nothing_is_found(
    server: DatabaseServer, driver: str
) -> None:
    async with opened(server, driver) as database:
        there = await new_network(database, mtu=1500)
        read = await database.object_get("network", there)
        first = await database.object_update(
            "network", there, {"mtu": 1500}, expected_revision=read.revision
        )
        await database.object_update(
            "network", there, {"mtu": 1500}, expected_revision=first.revision
        )


async def test_database_m8_of_a_unit_that_fails_in_its_middle_nothing_stays(
    site: Site, server: DatabaseServer
) -> None:
    connection = site.connection
    await connection.apply(created(FIRST, "a"))
    unit = created(SECOND, "b")
    # It comes after the object, which was put by then.
    unit.elements = [NewElement(str(uuid4()), "routes", "1", "2")]
    with pytest.raises(Refused):
        await connection.apply(unit)
    assert connection.reusable
    await asyncio.sleep(0.1)
    # Without another call its locks are gone too.
    locked = server.sql("SELECT count(*) FROM information_schema.innodb_trx")
    assert int(locked) == 0
    assert await site.rows("SELECT TEXT(fq) FROM ~object") == [("a",)]
    await connection.apply(created(SECOND, "b"))


@pytest.mark.parametrize("soon", [True, False])
async def test_database_m8_the_next_call_is_not_part_of_the_failed_unit(
    site: Site, *, soon: bool
) -> None:
    connection = site.connection
    await connection.apply(created(FIRST, "a"))
    for number in range(3):
        unit = created(SECOND, "b")
        unit.elements = [NewElement(str(uuid4()), "routes", "1", "2")]
        with pytest.raises(Refused):
            await connection.apply(unit)
        if not soon:
            await asyncio.sleep(0.02)
        if number == 0:
            assert await site.rows("SELECT TEXT(fq) FROM ~object") == [("a",)]
        elif number == 1:
            await connection.begin()
            await connection.apply(changed(FIRST))
            await connection.commit()
        else:
            await connection.apply(changed(FIRST))
    assert await site.rows("SELECT TEXT(fq) FROM ~object") == [("a",)]
    assert await site.rows("SELECT revision FROM ~counter") == [(3,)]


async def test_database_m9_a_lock_that_is_waited_for_too_long_commits_no_half(site: Site) -> None:
    holder, connection = site.connection, await site.tables.connection()
    await holder.apply(created(FIRST, "a"))
    await connection.fetch("SET SESSION innodb_lock_wait_timeout = 1")
    await holder.begin()
    await holder.fetch(site.tables.rendered("SELECT * FROM ~counter LOCK(update)"))
    # The counter is last: the rest was done by then.
    with pytest.raises(Contended):
        await connection.apply(created(SECOND, "b"))
    assert connection.reusable
    await holder.commit()
    await asyncio.sleep(0.1)
    assert await site.rows("SELECT TEXT(fq) FROM ~object") == [("a",)]
    await connection.apply(created(SECOND, "b"))
    await site.tables.check(connection)


async def test_database_m9_a_deadlock_ends_one_of_two_and_nothing_of_it_stays(site: Site) -> None:
    first, second = site.connection, await site.tables.connection()
    await first.apply(created(FIRST, "a"))
    await first.apply(created(SECOND, "b"))
    lock = site.tables.rendered("SELECT 1 FROM ~state WHERE uuid = ? LOCK(update)")
    dialect = site.tables.engine.dialect
    await first.begin()
    await second.begin()
    await first.fetch(lock, [dialect.id(FIRST)])
    await second.fetch(lock, [dialect.id(SECOND)])
    results = await asyncio.gather(
        first.apply(changed(SECOND)), second.apply(changed(FIRST)), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["Applied", "Contended"]
    for connection, result in zip((first, second), results, strict=True):
        await (connection.rollback() if isinstance(result, Contended) else connection.commit())
    assert first.reusable
    assert second.reusable
    assert await site.rows("SELECT revision FROM ~counter") == [(3,)]
    await site.tables.check(first)


async def test_database_m10_connections_that_the_server_ended_are_noticed(
    site: Site, server: DatabaseServer
) -> None:
    threads = server.sql(IDS).split()
    server.sql("".join(f"KILL {thread};" for thread in threads))
    await asyncio.sleep(0.1)
    assert not site.connection.reusable
    other = await site.tables.connection()
    call = asyncio.create_task(other.fetch("SELECT SLEEP(30)"))
    await asyncio.sleep(0.1)
    for thread in server.sql(IDS).split():
        server.sql(f"KILL {thread}")
    with pytest.raises(ServerError) as caught:
        await call
    assert driver_errors.is_lost(caught.value)
    assert not other.reusable


async def test_database_m11_a_login_is_refused_by_its_code(
    server: DatabaseServer, driver: str
) -> None:
    async with Proxy(server.endpoint) as proxy:
        for wrong, kind in (
            ({"password": "wrong"}, AuthenticationFailedError),
            ({"username": "nobody"}, AuthenticationFailedError),
        ):
            accepted = proxy.accepted
            with pytest.raises(kind):
                async with opened(server, driver, endpoints=[proxy.endpoint] * 2, **wrong):
                    pass
            assert proxy.accepted == accepted + 1


async def test_database_m12_documents_come_back_letter_by_letter(
    server: DatabaseServer, driver: str
) -> None:
    odd: dict[str, Any] = {
        "z": 1e308,
        "a": 2**64 - 1,
        "é": ["\u2028", "\\", "'", '"', "\U0001f600", 0.1, {}],
    }
    async with opened(server, driver) as database:
        there = await new_network(database, odd=odd, routes=[odd])
        read = await database.object_get("network", there)
        assert read["odd"] == odd
        assert list(read["odd"]) == list(odd)
        assert read["routes"] == [odd]


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=200), min_size=1, max_size=20))
async def test_any_text_comes_back_as_it_was(site: Site, texts: list[str]) -> None:
    unit = Effects(stamp=0, useragent=[(str(n), text) for n, text in enumerate(texts)])
    await site.connection.apply(unit)
    for number, text in enumerate(texts):
        rows = await site.rows("SELECT value FROM ~useragent WHERE name = ?", str(number))
        assert rows == [(text,)]


async def test_a_password_in_any_script_is_sent_as_the_server_has_it(
    server: DatabaseServer, driver: str
) -> None:
    password = "pass wörd пароль 密码 🔑 '\""  # noqa: S105  # of an account that is dropped again
    name = f"poly_{driver}"
    quoted = password.replace("'", "''")
    server.sql(
        f"SET NAMES utf8mb4; CREATE USER '{name}'@'%' IDENTIFIED BY '{quoted}';"
        f" GRANT ALL ON tests.* TO '{name}'@'%'"
    )
    try:
        async with opened(server, driver, username=name, password=password) as database:
            assert await database.current_revision() >= 0
    finally:
        server.sql(f"DROP USER '{name}'@'%'")


async def test_units_larger_than_a_packet_are_one_unit_all_the_same(
    servers: Servers, driver: str
) -> None:
    small = {"max_allowed_packet": str(1 << 20)}
    async with AsyncExitStack() as stack:
        server = stack.enter_context(servers.fresh("mysql", durable=False, options=small))
        database = await stack.enter_async_context(opened(server, driver))
        limit = database.limits.value_bytes
        assert limit is not None
        assert limit < 1 << 18
        with pytest.raises(InvalidRequestError):
            await new_network(database, text="x" * limit)
        # Each is small enough, and all together are not.
        many = {f"p{n}": "x" * (limit - 100) for n in range(5)}
        with pytest.raises(InvalidRequestError, match="max_allowed_packet"):
            await new_network(database, **many)
        objects = [
            ("network", uuid := str(uuid4()), {"fq_name": [uuid], "text": "x" * (limit - 100)})
            for _ in range(20)
        ]
        await database.object_create_many(objects)
        twice = [("other", uuid := str(uuid4()), {"fq_name": [uuid], "text": "x" * (limit - 100)})]
        with pytest.raises(BackendError):
            await database.object_create_many([*twice, *objects[1:], ("other", FIRST, twice[0][2])])
        assert await database.object_list("network", count=True) == 20
        assert await database.object_list("other", count=True) == 0
        assert await database.current_revision() == 20
