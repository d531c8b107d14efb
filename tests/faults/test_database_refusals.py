"""What a server refuses for good or for now: passwords, databases, rights, writes, room."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends import ConfigDatabase, ConnectionState
from asyncbackends.errors import (
    AccessDeniedError,
    AuthenticationFailedError,
    BackendError,
    ConnectionFailedError,
    ConnectionLostError,
    OperationTimeoutError,
    ResourceExhaustedError,
)
from tests.faults.database_trials import RunTrial, Trial, each_driver
from tests.faults.fleet import end
from tests.servers.process import free_port
from tests.servers.proxy import Proxy
from tests.servers.server import DATABASE, DatabaseServer

pytestmark = [each_driver, pytest.mark.timeout(300)]

WRONG = "not-the-passw0rd-äöü"


async def create(db: ConfigDatabase, text: str = "") -> str:
    uuid = str(uuid4())
    await db.object_create("network", uuid, {"fq_name": [uuid], "text": text})
    return uuid


def state_of(db: ConfigDatabase) -> ConnectionState:
    return db.state


# Credentials


@pytest.mark.promise("database.wrong-password-is-tried-once")
def test_wrong_password(run_trial: RunTrial, engine: str, figure: Callable[[str], None]) -> None:
    figure(run_trial(wrong_password))


async def wrong_password(trial: Trial) -> str:
    trial.secrets.add(WRONG)
    async with Proxy(trial.server.endpoint) as proxy:
        wrong = await trial.refusal(password=WRONG, endpoints=proxy.endpoint)
        wrong.failed(AuthenticationFailedError)
        assert not wrong.error or not wrong.error.retryable
        # Another endpoint is no reason to try the same password again.
        wrong = await trial.refusal(password=WRONG, endpoints=[proxy.endpoint, proxy.endpoint])
        wrong.failed(AuthenticationFailedError)
        assert proxy.accepted == 2
        nobody = await trial.refusal(username="nobody_there", endpoints=proxy.endpoint)
        assert "nobody_there" in str(nobody.failed(AuthenticationFailedError))
        nothing = await trial.refusal(password=None, endpoints=proxy.endpoint)
        nothing.failed(AuthenticationFailedError)
        assert wrong.seconds < 1
    return f"{trial.driver}: one login for a wrong password"


@pytest.mark.promise("database.wrong-password-is-tried-once")
def test_password_is_changed(run_trial: RunTrial, engine: str) -> None:
    run_trial(password_is_changed)


async def password_is_changed(trial: Trial) -> str:
    """An account that locks itself after some wrong passwords is not locked by us."""
    product = trial.product
    async with (
        Proxy(trial.server.endpoint) as proxy,
        trial.open(endpoints=proxy.endpoint, operation_timeout=5) as db,
    ):
        there = await create(db)
        await trial.sql(product.new_password.format(password=WRONG))
        try:
            # It may be noticed, and the login tried, before all of them have ended.
            logins = proxy.accepted
            await trial.end_connections()
            endings = await asyncio.gather(
                *(trial.ending(db.object_get("network", there)) for _ in range(20)),
                trial.ending(create(db)),
            )
            for ending in endings:
                ending.failed(AuthenticationFailedError)
                assert ending.seconds < 4
            await asyncio.sleep(1)
            again = await trial.ending(db.object_get("network", there))
            again.failed(AuthenticationFailedError)
            assert again.seconds < 0.5
            tried = proxy.accepted - logins
            assert tried == 1, f"{tried} logins"
            assert db.state is ConnectionState.DISCONNECTED
        finally:
            await trial.sql(product.new_password.format(password=trial.server.password))
    return ""


@pytest.mark.promise("database.missing-database-is-named")
def test_missing_database(run_trial: RunTrial, engine: str) -> None:
    run_trial(missing_database)


async def missing_database(trial: Trial) -> str:
    async with Proxy(trial.server.endpoint) as proxy:
        ending = await trial.refusal(database="not_there", endpoints=proxy.endpoint)
        assert "not_there" in str(ending.error)
        if trial.product.may_use:
            # Whoever has no right to it is not told whether it is there.
            ending.failed(AccessDeniedError)
            await trial.sql(trial.product.may_use.format(database="not_there"))
            ending = await trial.refusal(database="not_there", endpoints=proxy.endpoint)
        assert "not_there" in str(ending.failed(ConnectionFailedError))
        assert ending.seconds < 1
        assert proxy.accepted == (2 if trial.product.may_use else 1)
    return ""


@pytest.mark.promise("database.missing-rights-are-told")
def test_missing_rights(run_trial: RunTrial, engine: str) -> None:
    run_trial(missing_rights)


async def missing_rights(trial: Trial) -> str:
    async with trial.open() as db:
        there = await create(db)
    reader: dict[str, Any] = {"username": "reader", "password": "rea-der"}
    trial.secrets.add("rea-der")
    making = trial.product.reader.format(name="reader", password="rea-der", schema=trial.namespace)  # noqa: S106  # of this server alone
    await trial.sql(making, database=DATABASE)
    async with trial.open(**reader, schema=None, create_schema=False) as db:
        assert (await db.object_get("network", there))["uuid"] == there
        for call in (
            create(db),
            db.object_update("network", there, {"text": "x"}),
            db.object_delete("network", there),
            db.kv_put("table", "key", {"a": 1}),
        ):
            (await trial.ending(call)).failed(AccessDeniedError)
        assert (await db.object_get("network", there))["text"] == ""
    elsewhere = await trial.refusal(**reader, namespace="elsewhere")
    assert isinstance(elsewhere.error, BackendError)
    assert not elsewhere.error.maybe_applied
    return ""


# Writes


@pytest.mark.promise("database.read-only-server-is-typed")
def test_read_only(run_trial: RunTrial, engine: str) -> None:
    run_trial(read_only)


async def read_only(trial: Trial) -> str:
    async with trial.open(operation_timeout=5) as db:
        there = await create(db)
        await trial.stop_writes()
        try:
            new = str(uuid4())
            for call in (
                db.object_create("network", new, {"fq_name": [new]}),
                db.object_update("network", there, {"text": "x"}),
                db.kv_put("table", "key", {"a": 1}),
            ):
                ending = await trial.ending(call)
                ending.failed(AccessDeniedError)
                assert ending.seconds < 2
            # The only one there is serves reads, and who opens it anew as well.
            assert (await db.object_get("network", there))["text"] == ""
            async with trial.open() as other:
                assert await other.object_list("network", count=True) == 1
                (await trial.ending(create(other))).failed(AccessDeniedError)
        finally:
            await trial.allow_writes()
        await create(db)
        assert await db.object_list("network", count=True) == 2
    return ""


@pytest.mark.promise("database.fails-over")
def test_endpoints(run_trial: RunTrial, engine: str, figure: Callable[[str], None]) -> None:
    figure(run_trial(endpoints_fail_over))


async def endpoints_fail_over(trial: Trial) -> str:
    """First one endpoint is dead, then one dies, then one takes no writes any more."""
    loop = asyncio.get_running_loop()
    first = trial.server
    second = await trial.fleet.do(trial.fleet.fresh, trial.engine)
    # One account, as on a primary and its standby.
    await trial.fleet.do(second.sql, trial.product.new_password.format(password=first.password))
    dead = f"127.0.0.1:{free_port()}"
    both: dict[str, Any] = {"endpoints": [first.endpoint, second.endpoint], "operation_timeout": 5}
    try:
        async with trial.open(second, password=first.password) as db:
            marker = await create(db)
        began = loop.time()
        async with trial.open(endpoints=[dead, first.endpoint], connect_timeout=5) as db:
            assert loop.time() - began < 2
            await create(db)
        async with trial.open(**both) as db:
            assert await db.object_list("network", count=True) == 1
            there = (await db.object_list("network")).items[0][1]
            await trial.kill()
            began = loop.time()
            found = await db.object_list("network")
            moved = loop.time() - began
            assert [uuid for _, uuid in found] == [marker] != [there]
            await create(db)
            assert moved < 2
            # It comes back, and nobody moves for that alone.
            await trial.start()
            assert await db.object_list("network", count=True) == 2
        # A frozen first endpoint takes its share of the time only.
        await trial.freeze()
        async with trial.open(**both, connect_timeout=2) as db:
            assert (await db.object_get("network", marker))["uuid"] == marker
        await trial.thaw()
        # One that takes no writes is passed over, at first contact and later on.
        await trial.stop_writes()
        async with trial.open(**both) as db:
            await create(db)
            assert (await db.object_get("network", marker))["uuid"] == marker
        await trial.allow_writes()
        async with trial.open(**both) as db:
            await db.object_get("network", there)
            await trial.stop_writes()
            refused = await trial.ending(create(db))
            refused.failed(AccessDeniedError)
            await create(db)
            assert (await db.object_get("network", marker))["uuid"] == marker
    finally:
        await trial.fleet.do(end, second)
        await trial.revive()
        await trial.allow_writes()
    return f"{trial.driver}: on the second endpoint {moved:.2f} s after the first one died"


@contextlib.contextmanager
def small_disk(folder: Path, server: DatabaseServer) -> Generator[Path]:
    """Mount a small file system on a folder."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.fail(
            f"a full disk needs one of its own: `{' '.join(command)}` failed, run the tests as "
            f"root or with CAP_SYS_ADMIN: {mounted.stderr}"
        )
    try:
        server.account.take(folder)
        yield folder
    finally:
        # Lazily: the server may still have files open on it.
        subprocess.run(["umount", "-l", str(folder)], check=True)


def on_disk(server: DatabaseServer, disk: Path) -> None:
    """Make the database ``small`` whose tables are on the disk, and nothing else is."""
    if server.engine == "postgres":
        server.sql(f"CREATE TABLESPACE small LOCATION '{disk}'")
        server.sql(f"CREATE DATABASE small OWNER {server.username} TABLESPACE small")


def fill(disk: Path) -> Path:
    """Take all the room that is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


@pytest.mark.promise("database.full-disk-is-typed")
def test_full_disk(run_trial: RunTrial, engine: str) -> None:
    run_trial(full_disk)


async def full_disk(trial: Trial) -> str:
    server = await trial.fleet.do(trial.fleet.fresh, trial.engine)
    if trial.engine == "postgres":
        folder = server.folder / "small"
    else:
        # A database is a folder of the data.
        folder = server.data / await trial.fleet.do(server.database, "small")
    try:
        with small_disk(folder, server) as disk:
            await trial.fleet.do(on_disk, server, disk)
            async with trial.open(server, database="small", operation_timeout=10) as db:
                await fill_and_go_on(trial, db, disk)
    finally:
        await trial.fleet.do(end, server)
    return ""


async def fill_and_go_on(trial: Trial, db: ConfigDatabase, disk: Path) -> None:
    there = [await create(db, os.urandom(1500).hex()) for _ in range(3)]
    filler = await trial.fleet.do(fill, disk)
    while (ending := await trial.ending(create(db, os.urandom(1500).hex()))).error is None:
        there.append(ending.value)
        assert len(there) < 300, "the disk is never full"
    ending.failed(ResourceExhaustedError)
    assert ending.seconds < 5
    assert state_of(db) is ConnectionState.BLOCKED

    async def batch() -> None:
        async with db.batch() as batch:
            for _ in range(20):
                uuid = str(uuid4())
                text = os.urandom(1500).hex()
                batch.object_create("network", uuid, {"fq_name": [uuid], "text": text})

    ending = await trial.ending(batch())
    ending.failed(ResourceExhaustedError)
    # Reads go on, nothing is half there, and the revision has not moved.
    assert {uuid for _, uuid in await db.object_list("network")} == {*there}
    assert await db.current_revision() == len(there)
    filler.unlink()
    there.append(await create(db, os.urandom(1500).hex()))
    assert state_of(db) is ConnectionState.CONNECTED
    assert {uuid for _, uuid in await db.object_list("network")} == {*there}
    assert await db.current_revision() == len(there)


# Links


@pytest.mark.promise("database.doubt-is-told")
def test_lost_answers(run_trial: RunTrial, engine: str) -> None:
    run_trial(lost_answers)


async def lost_answers(trial: Trial) -> str:
    """The server has written, and its answer is lost: with the link at once, else in time."""
    async with (
        Proxy(trial.server.endpoint) as proxy,
        trial.open(endpoints=proxy.endpoint, operation_timeout=1, pool_size=1) as db,
    ):
        cut, late, first = (str(uuid4()) for _ in range(3))
        # The first use of a statement asks the server more than once.
        await db.object_create("network", first, {"fq_name": [first]})
        proxy.drop_replies()
        call = asyncio.create_task(
            trial.ending(db.object_create("network", cut, {"fq_name": [cut]}))
        )
        await proxy.reply_dropped()
        proxy.cut()
        proxy.pass_replies()
        ending = await call
        ending.failed(ConnectionLostError, maybe=True)
        assert ending.seconds < 1
        assert (await db.object_get("network", cut))["uuid"] == cut
        proxy.drop_replies()
        ending = await trial.ending(db.object_create("network", late, {"fq_name": [late]}))
        ending.failed(OperationTimeoutError, maybe=True)
        assert ending.seconds < 2
        # A read is late, and not in doubt.
        ending = await trial.ending(db.object_get("network", cut))
        assert isinstance(ending.error, OperationTimeoutError | ConnectionLostError)
        assert not ending.error.maybe_applied
        proxy.pass_replies()
        proxy.cut()
        # Who creates again with equal content finds out; so it is told to.
        again = await db.object_create("network", late, {"fq_name": [late]})
        assert again.revision == 3
        # The link goes before anything was sent: nobody is in doubt.
        proxy.cut()
        await asyncio.sleep(0.05)
        await create(db)
        assert await db.current_revision() == 4
    return ""
