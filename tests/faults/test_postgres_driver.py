"""What is known of asyncpg, on a real server: each trap, and that we are not in it."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg  # pyright: ignore[reportMissingTypeStubs]  # it has none
import pytest

from asyncbackends import (
    CollectionUpdate,
    ConfigDatabase,
    ObjectType,
    RefType,
    Schema,
    open_config_database,
)
from asyncbackends.errors import (
    AuthenticationFailedError,
    BackendError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    FqNameTakenError,
    InvalidRequestError,
    ObjectExistsError,
    OperationTimeoutError,
    TlsFailedError,
    TransactionFailedError,
)
from asyncbackends.sql.effects import Effects
from asyncbackends.sql.server import Contended
from asyncbackends_postgres import driver_errors
from tests.faults.postgres_units import changed, created, fresh_ids, open_tables
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgres import Postgres
from tests.servers.proxy import Proxy
from tests.servers.running import Servers
from tests.servers.server import DatabaseServer

SCHEMA = Schema({"network": ObjectType(lists={"routes": None}, refs={"network": RefType()})})


@pytest.fixture(autouse=True, params=["postgres"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def server(servers: Servers) -> Postgres:
    server = servers.get("postgres")
    assert isinstance(server, Postgres)
    return server


@asynccontextmanager
async def opened(server: DatabaseServer, **others: Any) -> AsyncGenerator[ConfigDatabase]:
    given: dict[str, Any] = {"namespace": "driver", "schema": SCHEMA, **others}
    async with open_config_database(**server.settings(**given)) as database:
        yield database


async def new_network(database: ConfigDatabase, **content: Any) -> str:
    uuid = str(uuid4())
    await database.object_create("network", uuid, {"fq_name": [uuid], **content})
    return uuid


async def test_database_p1_nothing_is_sent_between_calls(server: Postgres) -> None:
    async with Proxy(server.endpoint) as proxy, opened(server, endpoints=proxy.endpoint) as db:
        uuid = await new_network(db)
        await db.object_get("network", uuid)
        with proxy.counting() as trips:
            for _ in range(10):
                await db.object_get("network", uuid)
        assert trips.count == 10


async def waits_for_a_lock(server: Postgres, wanted: bool) -> None:
    waiting = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    for _ in range(200):
        if server.sql(waiting).strip() == ("t" if wanted else "f"):
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"somebody waits: {not wanted}")


async def test_database_p2_a_cancelled_call_is_stopped_and_its_connection_dropped(
    server: Postgres,
) -> None:
    async with open_tables(server) as tables:
        holder, waiter = await tables.connection(), await tables.connection()
        uuid = str(uuid4())
        await holder.apply(created(uuid, "a"))
        await holder.begin()
        await holder.apply(changed(uuid))
        call = asyncio.create_task(waiter.apply(changed(uuid)))
        await waits_for_a_lock(server, True)
        call.cancel()
        await asyncio.wait({call})
        assert not waiter.reusable
        waiter.abort()
        await asyncio.wait_for(waiter.give_up(), 1)
        await waits_for_a_lock(server, False)
        await holder.commit()
        # It was stopped before it was done, not only unheard.
        assert await tables.count(holder, "changes") == 2


async def test_database_p3_a_killed_server_is_found_out_at_once(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    with servers.fresh("postgres") as server:
        async with opened(server, operation_timeout=5) as db:
            uuid = await new_network(db)
            calls = [asyncio.create_task(db.object_get("network", uuid)) for _ in range(10)]
            await asyncio.sleep(0)
            server.kill()
            server.start()
            await asyncio.gather(*calls)
            assert (await db.object_get("network", uuid))["uuid"] == uuid
    # The driver has no pool here whose background tasks log tracebacks.
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]


async def test_database_p4_ended_idle_connections_fail_no_call(server: Postgres) -> None:
    async with opened(server) as db:
        uuid = await new_network(db)
        for _ in range(5):
            await asyncio.gather(*(db.object_get("network", uuid) for _ in range(10)))
            server.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tester'"
            )
            # Their ends have not been seen yet: reads that meet them are repeated.
            await asyncio.gather(*(db.object_get("network", uuid) for _ in range(10)))
            # By now they have: no write is sent where nobody knows what becomes of it.
            await asyncio.sleep(0.1)
            await asyncio.gather(*(new_network(db) for _ in range(10)))


async def test_database_p5_a_frozen_server_ends_calls_and_close_in_time(servers: Servers) -> None:
    with servers.fresh("postgres", durable=False) as server:
        async with opened(server, operation_timeout=1) as db:
            uuid = await new_network(db)
            server.freeze()
            started = time.monotonic()
            for call in (db.object_get("network", uuid), new_network(db)):
                with pytest.raises(BackendError):
                    await call
            assert time.monotonic() - started < 3
            server.thaw()
            while True:
                try:
                    await db.object_get("network", uuid)
                    break
                except BackendError:
                    assert time.monotonic() - started < 10
            server.freeze()
            started = time.monotonic()
        assert time.monotonic() - started < 5 + 2
        server.thaw()


async def test_database_p6_who_waits_for_a_connection_has_a_deadline(server: Postgres) -> None:
    async with opened(server, pool_size=1, operation_timeout=1) as db, open_tables(server) as other:
        uuid = await new_network(db)
        holder = await other.connection()
        await holder.begin()
        await holder.fetch("LOCK TABLE driver.object")
        endings = await asyncio.gather(
            *(db.object_get("network", uuid) for _ in range(5)), return_exceptions=True
        )
        # The one that had the only connection, and those that waited for another.
        assert {type(each) for each in endings} <= {OperationTimeoutError, ConnectionLostError}
        await holder.rollback()
        assert (await db.object_get("network", uuid))["uuid"] == uuid


async def test_database_p7_no_connection_serves_two_calls_at_once(server: Postgres) -> None:
    async with opened(server, pool_size=3) as db:
        uuids = await asyncio.gather(*(new_network(db) for _ in range(30)))
        assert len(await asyncio.gather(*(db.object_get("network", each) for each in uuids))) == 30


async def test_database_p8_prepared_statements_behind_a_pooler(server: Postgres) -> None:
    options = {"default_pool_size": "3", "server_round_robin": "1"}
    with PgBouncer(server, options=options) as bouncer:
        # What the pooler does not know it says at the login, and that is final.
        with pytest.raises(ConfigurationError, match="pooler = transaction"):
            async with opened(server, endpoints=bouncer.endpoint, connect_timeout=5):
                pass
        async with opened(server, **{**bouncer.settings(), "namespace": "driver"}) as db:
            uuid = await new_network(db)
            calls = [db.object_get("network", uuid) for _ in range(100)]
            assert len(await asyncio.gather(*calls)) == 100
    lost = asyncpg.InvalidSQLStatementNameError('prepared statement "x" does not exist')
    assert "pooler = transaction" in str(driver_errors.ours(lost))


async def test_database_p9_tables_that_are_altered_meanwhile(server: Postgres) -> None:
    async with opened(server, namespace="driver_altered") as db:
        uuid = await new_network(db)
        for number in range(3):
            await db.object_get("network", uuid)
            async with db.batch() as batch:
                batch.object_update("network", uuid, {"mtu": number})
            server.sql(f"ALTER TABLE driver_altered.state ADD x{number} int", database="tests")
            server.sql(
                f"ALTER TABLE driver_altered.object ALTER fq TYPE {('varchar', 'text')[number % 2]}"
                ' COLLATE "C"',
                database="tests",
            )
            await db.object_get("network", uuid)
            async with db.batch() as batch:
                batch.object_update("network", uuid, {"mtu": number})
                batch.object_delete("network", await new_network(db))
                batch.object_create("network", str(uuid4()), {"fq_name": [f"n{number}"]})


async def test_database_p10_documents_are_text(server: Postgres) -> None:
    """A jsonb column would give an integer of 309 digits, and needs a codec at every login."""
    async with opened(server) as db:
        uuid = await new_network(db, large=1e308, ordered={"b": 1, "a": 2})
        found = await db.object_get("network", uuid)
        assert type(found["large"]) is float
        assert found["large"] == 1e308


async def test_database_p11_what_the_server_cannot_store_is_refused_before(
    server: Postgres,
) -> None:
    async with opened(server) as db:
        for content in ({"text": "\0"}, {"text": float("inf")}, {"text": "\ud800"}):
            with pytest.raises(InvalidRequestError):
                await new_network(db, **content)
        uuid = await new_network(db, text="\U0001f600 \u0301")
        assert (await db.object_get("network", uuid))["text"] == "\U0001f600 \u0301"
    async with open_tables(server) as tables:
        connection = await tables.connection()
        with pytest.raises(asyncpg.CharacterNotInRepertoireError) as raised:
            await connection.apply(Effects(stamp=0, useragent=[("a", "\0")]))
        assert isinstance(driver_errors.ours(raised.value), InvalidRequestError)
        assert connection.reusable


async def test_database_p12_many_objects_are_one_statement(server: Postgres) -> None:
    async with Proxy(server.endpoint) as proxy, opened(server, endpoints=proxy.endpoint) as db:
        await db.object_create_many([("network", (u := str(uuid4())), {"fq_name": [u]})])
        many = [("network", uuid, {"fq_name": [uuid]}) for uuid in fresh_ids(500)]
        with proxy.counting() as trips:
            await db.object_create_many(many)
        # A look at what is there, and the write; a statement is prepared when it is new.
        assert trips.count <= 4


async def test_database_p13_whatever_constraint_speaks_the_error_says_what_was_taken(
    server: Postgres,
) -> None:
    async with opened(server) as db:
        uuid = await new_network(db, mtu=1)
        for _ in range(5):
            name = str(uuid4())
            found = await asyncio.gather(
                *(db.object_create("network", each, {"fq_name": [name]}) for each in fresh_ids(5)),
                return_exceptions=True,
            )
            taken = [error for error in found if isinstance(error, FqNameTakenError)]
            assert len(taken) == 4
            holder = await db.fq_name_to_uuid("network", [name])
            assert {error.holder for error in taken} == {holder}
        with pytest.raises(ObjectExistsError):
            await db.object_create("network", uuid, {"fq_name": ["other"], "mtu": 2})
        with pytest.raises(TransactionFailedError) as raised:
            await db.object_create_many([("network", uuid, {"fq_name": [str(uuid4())]})])
        assert isinstance(raised.value.error, ObjectExistsError)


async def test_database_p14_deadlocks_are_repeated(server: Postgres) -> None:
    async with open_tables(server) as tables:
        one, two = await tables.connection(), await tables.connection()
        first, second = fresh_ids(2)
        for uuid in (first, second):
            await one.apply(created(uuid, uuid))
        await one.begin()
        await two.begin()
        await one.apply(Effects(stamp=0, guards=changed(first).guards))
        await two.apply(Effects(stamp=0, guards=changed(second).guards))
        found = await asyncio.gather(
            one.apply(Effects(stamp=0, guards=changed(second).guards)),
            two.apply(Effects(stamp=0, guards=changed(first).guards)),
            return_exceptions=True,
        )
        assert sum(isinstance(each, Contended) for each in found) == 1
        await one.rollback()
        await two.rollback()
        assert one.reusable
        assert two.reusable
    async with opened(server) as db:
        first, second = await new_network(db), await new_network(db)
        # Same-type refs change both ends; each call names them in another order.
        for _ in range(20):
            await asyncio.gather(
                db.create_ref("network", first, "network", second),
                db.create_ref("network", second, "network", first),
                db.prop_collection_update(
                    "network", first, [CollectionUpdate("routes", "add", "a")]
                ),
            )


async def test_database_p14_logins_that_are_refused_are_final(server: Postgres) -> None:
    for others, kind in (
        ({"password": "wrong"}, AuthenticationFailedError),
        ({"username": "nobody"}, AuthenticationFailedError),
        ({"database": "missing"}, ConnectionFailedError),
        ({"tls": "on"}, TlsFailedError),
    ):
        with pytest.raises(ConnectionFailedError) as raised:
            async with opened(server, **others):
                pass
        assert type(raised.value) is kind
        if "database" in others:
            assert "missing" in str(raised.value)


async def test_database_p14_with_tls_a_socket_is_refused(server: Postgres) -> None:
    """asyncpg would send everything in the clear over a socket, whatever it was told of TLS."""
    path = f"{server.folder}/.s.PGSQL.{server.port}"
    with pytest.raises(ConfigurationError, match="no TLS"):
        async with opened(server, endpoints=path, tls="on"):
            pass
    # The server's rules let nobody but its superuser in there.
    with pytest.raises(AuthenticationFailedError):
        async with opened(server, endpoints=path):
            pass


async def test_database_p14_the_name_that_is_verified_may_be_another(servers: Servers) -> None:
    certificates = servers.certificates
    with servers.fresh("postgres", tls=certificates, durable=False) as server:
        async with opened(server, tls_server_name="localhost") as db:
            await new_network(db)
        for others in (
            {"tls_server_name": "other.example"},
            {"tls_ca_file": str(certificates.other_ca)},
        ):
            with pytest.raises(TlsFailedError):
                async with opened(server, **others):
                    pass


LEAKS = {
    "PGHOST": "192.0.2.1",
    "PGPORT": "1",
    "PGUSER": "somebody",
    "PGPASSWORD": "wrong",
    "PGPASSFILE": "/nonexistent",
    "PGDATABASE": "nowhere",
    "PGSSLMODE": "verify-full",
    "PGSSLROOTCERT": "/nonexistent",
    "PGSSLNEGOTIATION": "direct",
    "PGTARGETSESSIONATTRS": "standby",
    "PGSERVICE": "nothing",
    "PGKRBSRVNAME": "x",
    "PGGSSLIB": "x",
}


async def test_database_p14_nothing_is_taken_from_the_environment(
    server: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name, value in LEAKS.items():
        monkeypatch.setenv(name, value)
    async with opened(server) as db:
        await new_network(db)
    # Nor is a password that would be right.
    passfile = tmp_path / ".pgpass"
    passfile.touch(mode=0o600)
    passfile.write_text(f"*:*:*:*:{server.password}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PGPASSWORD", server.password)
    with pytest.raises(AuthenticationFailedError):
        async with opened(server, password=None):
            pass


async def test_the_account_of_the_process_is_the_default(server: Postgres) -> None:
    with pytest.raises(AuthenticationFailedError, match=r'"root"|"\w+"'):
        async with opened(server, username=None, password=None):
            pass


async def test_a_database_in_another_encoding_is_refused(servers: Servers) -> None:
    server = servers.get("postgres")
    server.sql("CREATE DATABASE latin OWNER tester ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(ConfigurationError, match="LATIN1"):
        async with opened(server, database="latin"):
            pass
