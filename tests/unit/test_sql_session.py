"""An open database on a server: tables, schema, deadlines, and links that are lost."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from asyncbackends import ObjectType, Schema
from asyncbackends.errors import (
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    ForkedError,
    OperationTimeoutError,
    ResourceExhaustedError,
    SchemaVersionError,
)
from asyncbackends.protocols.backend import ConnectionState, ServerInfo
from asyncbackends.protocols.guarantees import STRICT_ONLY, Guarantee
from asyncbackends.protocols.values import Gap
from asyncbackends.sql.database import SqlConfigDatabase
from asyncbackends.sql.effects import Effects
from asyncbackends.sql.guarantees import SQL_GUARANTEES
from asyncbackends.sql.server import Contended
from tests.unit.scripted_database import SCHEMA, DriverError, Server, scripted_database

WIDER = Schema({**SCHEMA.types, "port": ObjectType()})


@asynccontextmanager
async def opened(server: Server, **options: Any) -> AsyncGenerator[SqlConfigDatabase]:
    database = scripted_database(server, **options)
    await database.connect()
    try:
        yield database
    finally:
        await database.shutdown(grace=0)


async def test_missing_tables_are_made_once() -> None:
    server = Server()
    server.meta = {}
    async with opened(server, schema=SCHEMA) as database:
        assert database.schema == SCHEMA
    assert server.log == ["CREATE TABLE ~meta", "CREATE TABLE ~counter", "begin", "commit"]
    assert server.stamp == 1
    async with opened(server) as database:
        assert database.schema == SCHEMA
    assert len(server.log) == 4


async def test_missing_tables_that_may_not_be_made_are_printed() -> None:
    server = Server()
    server.meta = {}
    with pytest.raises(SchemaVersionError, match="create_schema = no") as caught:
        async with opened(server, create_schema=False):
            pass
    assert "CREATE TABLE ~meta;\nCREATE TABLE ~counter;" in str(caught.value)
    assert server.log == []


async def test_tables_of_a_newer_version_are_left_alone() -> None:
    server = Server()
    server.meta["version"] = "2"
    with pytest.raises(SchemaVersionError, match="version 2"):
        async with opened(server):
            pass
    assert server.log == []


async def test_tables_of_something_else_are_told_of() -> None:
    server = Server()

    async def other_tables(statement: str) -> None:
        raise DriverError("no table")

    server.before = other_tables
    with pytest.raises(ConfigurationError, match="choose another namespace than 'site'"):
        async with opened(server, namespace="site"):
            pass


async def test_wider_schema_replaces_the_stored_one() -> None:
    server = Server()
    async with opened(server, schema=WIDER) as database:
        assert database.schema == WIDER
    assert Schema.from_dict(msgspec.json.decode(server.meta["schema"])) == WIDER
    assert [text for text in server.reads if "LOCK(update)" in text]
    with pytest.raises(ConfigurationError, match="type 'port' is missing"):
        async with opened(server, schema=SCHEMA):
            pass


async def test_schema_that_meets_others_is_tried_again() -> None:
    server = Server()
    refusals = [Contended(), Contended()]

    async def deadlock(statement: str) -> None:
        if "LOCK(update)" in statement and refusals:
            raise refusals.pop()

    async with opened(server) as database:
        server.before = deadlock
        await database.set_schema(WIDER)
        assert database.schema == WIDER
    assert server.log == ["begin", "rollback", "begin", "rollback", "begin", "commit"]


async def test_guarantees_are_those_of_server_and_options() -> None:
    server = Server()
    server.guarantees = frozenset({Guarantee.SURVIVES_POWER_LOSS})
    database = scripted_database(server)
    assert database.guarantees == SQL_GUARANTEES
    async with opened(server) as database:
        assert database.guarantees == SQL_GUARANTEES | server.guarantees
    async with opened(server, integrity="legacy") as database:
        assert database.guarantees == (SQL_GUARANTEES | server.guarantees) - STRICT_ONLY


async def test_read_goes_on_over_lost_links() -> None:
    server = Server()
    losses: list[Exception] = [DriverError("lost"), Contended(), DriverError("lost")]

    async def lose(statement: str) -> None:
        if losses:
            raise losses.pop()

    async with opened(server, reconnect_min=0.001, reconnect_max=0.002) as database:
        server.before = lose
        assert await database.current_revision() == 0
        assert not losses


async def test_other_errors_of_the_driver_are_not_tried_again() -> None:
    server = Server()
    async with opened(server) as database:

        async def fail(statement: str) -> None:
            raise DriverError("no table")

        server.before = fail
        with pytest.raises(SchemaVersionError) as caught:
            await database.current_revision()
        assert (caught.value.engine, caught.value.operation) == ("scripted", "current_revision")


async def test_silent_server_ends_a_read_at_its_deadline() -> None:
    server = Server()
    async with opened(server, operation_timeout=0.05) as database:

        async def silence(statement: str) -> None:
            await asyncio.sleep(60)

        server.before = silence
        with pytest.raises(OperationTimeoutError, match="no answer within") as caught:
            await database.current_revision()
        assert not caught.value.maybe_applied


async def test_connections_that_are_all_in_use_are_told_of() -> None:
    server = Server()
    async with opened(server, operation_timeout=0.05, pool_size=1) as database:
        session = database._session  # pyright: ignore[reportPrivateUsage]  # to take its connection
        async with session.pool.connection():
            with pytest.raises(OperationTimeoutError, match="see the option pool_size"):
                await database.current_revision()
        assert await database.current_revision() == 0


async def test_link_that_stays_down_ends_a_read_and_not_a_watch() -> None:
    server = Server()
    options = {"reconnect_min": 0.001, "reconnect_max": 0.01, "poll_interval": 0.01}
    async with (
        opened(server, operation_timeout=0.1, **options) as database,
        database.watch() as feed,
    ):

        async def lose(statement: str) -> None:
            server.down = True
            raise DriverError("lost")

        working, server.before = server.before, lose
        waiting = asyncio.ensure_future(anext(feed))
        with pytest.raises(ConnectionLostError, match="nobody listens"):
            await database.current_revision()
        assert database.state is ConnectionState.DISCONNECTED
        await asyncio.sleep(0.15)
        assert not waiting.done()
        server.before, server.down = working, False
        server.revision = -1
        assert await asyncio.wait_for(waiting, 2) == Gap("recreated", 0)


async def test_first_contact_fails_with_its_reason() -> None:
    server = Server()
    server.down = True
    with pytest.raises(ConnectionFailedError, match="nobody listens"):
        async with opened(server):
            pass


async def test_full_disk_blocks_until_a_write_succeeds() -> None:
    server = Server()
    async with opened(server) as database:

        async def full(effects: Effects) -> None:
            raise DriverError("disk full")

        working, server.apply = server.apply, full
        with pytest.raises(ResourceExhaustedError):
            await database.useragent_kv_store("key", "value")
        assert database.state is ConnectionState.BLOCKED
        server.apply = working
        async with database.states() as states:
            assert (await anext(states)).reason == "the driver said: disk full"
            await database.useragent_kv_store("key", "value")
            assert (await anext(states)).state is ConnectionState.CONNECTED


async def test_forked_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    async with opened(server) as database:
        with monkeypatch.context() as forked:
            forked.setattr(os, "getpid", lambda: -1)
            with pytest.raises(ForkedError):
                await database.current_revision()
            await database.shutdown()
        assert await database.current_revision() == 0


async def test_server_info_asks() -> None:
    server = Server()
    async with opened(server) as database:
        before = len(server.reads)
        assert await database.server_info() == ServerInfo("Scripted", "1")
        assert server.reads[before:] == ["SELECT 1"]


async def test_nothing_is_asked_for_an_empty_list_of_ids() -> None:
    server = Server()
    async with opened(server) as database:
        before = len(server.reads)
        assert await database.object_read("network", []) == []
        assert await database.uuids_to_fq_names([]) == {}
        assert await database.fq_names_to_uuids("network", []) == {}
        assert await database.useragent_kv_retrieve([]) == {}
        assert list(await database.object_list("network", parent_uuids=[])) == []
        assert await database.object_list("network", obj_uuids=[], count=True) == 0
        assert len(server.reads) == before


async def test_what_has_one_read_takes_one_round_trip() -> None:
    server = Server()
    async with opened(server) as database:
        uuids = [uuid4(), uuid4()]
        before = len(server.reads)
        await database.object_read("network", uuids, missing="skip")
        await database.object_list("network", limit=5)
        await database.object_list("network", limit=5, field_names=["mtu"])
        await database.object_list("network", parent_uuids=uuids, filters={"mtu": [1]})
        await database.uuids_to_fq_names(uuids)
        await database.fq_names_to_uuids("network", [["a"], ["b"]])
        await database.get_shared("network")
        await database.kv_list("table")
        assert len(server.reads) == before + 8
