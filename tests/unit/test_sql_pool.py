"""The pool hands out connections in order, stays in its bound, and gets over every loss."""

import asyncio
import gc
import random
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import anyio
import pytest

from asyncbackends.errors import (
    AuthenticationFailedError,
    BackendClosedError,
    ConnectionFailedError,
    ConnectionLostError,
)
from asyncbackends.owner import Owner
from asyncbackends.protocols.backend import ConnectionState
from asyncbackends.sql import pool as pool_module
from asyncbackends.sql.pool import Pool
from tests.unit.scripted_sql import Driver, Engine, Link, pool_of


class Opened:
    def __init__(self, engine: Engine, *endpoints: str, **options: Any) -> None:
        self.engine = engine
        self.pool, self.links = pool_of(engine, *endpoints, **options)
        self.owner = Owner("config database")

    def state(self) -> ConnectionState:
        return self.links.status.state

    async def hold(self, until: asyncio.Event, held: list[Any] | None = None) -> None:
        async with self.pool.connection() as connection:
            if held is not None:
                held.append(connection)
            await until.wait()

    async def run(self, statement: str = "") -> Link:
        async with self.pool.connection() as connection:
            await connection.fetch(statement)
            assert isinstance(connection, Link)
            return connection


@asynccontextmanager
async def opened(*endpoints: str, grace: float = 1.0, **options: Any) -> AsyncGenerator[Opened]:
    async with opened_on(Engine(), *endpoints, grace=grace, **options) as found:
        yield found


@asynccontextmanager
async def opened_on(
    engine: Engine, *endpoints: str, grace: float = 1.0, **options: Any
) -> AsyncGenerator[Opened]:
    found = Opened(engine, *endpoints, **options)

    async def opening() -> None:
        assert found.owner.group is not None
        await found.pool.open(found.owner.group)

    await found.owner.start(opening, found.pool.close)
    try:
        yield found
    finally:
        await found.owner.stop(grace)
        assert found.engine.open == set()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # it asks about many things
            await asyncio.sleep(0.001)


async def test_the_last_used_connection_is_used_first_and_no_more_are_opened() -> None:
    async with opened() as found:
        async with found.pool.connection() as first:
            async with found.pool.connection() as second:
                pass
            async with found.pool.connection() as third:
                assert third is second
        async with found.pool.connection() as fourth:
            assert fourth is first
        assert len(found.engine.made) == 2


async def test_no_more_than_pool_size_are_open_and_who_waits_is_served_in_order() -> None:
    async with opened(pool_size=2) as found:
        served: list[int] = []
        most = 0

        async def use(number: int) -> None:
            nonlocal most
            async with found.pool.connection() as connection:
                served.append(number)
                most = max(most, len(found.engine.open))
                await connection.fetch("")

        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(use(number))
        assert served == list(range(40))
        assert most == 2
        assert len(found.engine.made) == 2


async def test_a_slow_handshake_delays_nobody_when_another_connection_gets_free() -> None:
    async with opened(pool_size=2) as found:
        found.engine.slow["a"] = asyncio.Event()
        release = asyncio.Event()
        held: list[Any] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(found.hold(release, held))
            await until(lambda: bool(held))
            waiting = group.create_task(found.run())
            await until(lambda: len(found.engine.dialed) == 2)
            release.set()
            assert await waiting is held[0]
        found.engine.slow.pop("a").set()
        await until(lambda: len(found.engine.open) == 2)


async def test_a_waiter_that_is_cancelled_leaks_nothing_also_at_the_moment_it_is_served() -> None:
    async with opened(pool_size=1) as found:
        for early in (True, False):
            release = asyncio.Event()
            held: list[Any] = []
            holder = asyncio.create_task(found.hold(release, held))
            await until(partial(bool, held))
            waiter = asyncio.create_task(found.run())
            await asyncio.sleep(0)
            if early:
                waiter.cancel()
                await asyncio.sleep(0)
            release.set()
            await asyncio.sleep(0)
            waiter.cancel()
            with suppress(asyncio.CancelledError):
                await waiter
            await holder
            async with asyncio.timeout(1):
                assert (await found.run()).number == 0
        assert len(found.engine.made) == 1


async def test_a_refusal_is_raised_at_once_and_never_tried_again() -> None:
    engine = Engine()
    engine.troubles["a"] = Driver("password")
    pool, _ = pool_of(engine, "a", "b")
    async with anyio.create_task_group() as group:
        with pytest.raises(AuthenticationFailedError, match="wrong password"):
            await pool.open(group)
    assert engine.dialed == ["a"]


@pytest.mark.parametrize(
    ("trouble", "error"),
    [("password", AuthenticationFailedError), ("database", ConnectionFailedError)],
)
async def test_a_refusal_while_it_reconnects_ends_every_waiting_and_later_call(
    trouble: str, error: type[Exception]
) -> None:
    async with opened(reconnect_min=0.01, reconnect_max=0.01) as found:
        found.engine.troubles["a"] = Driver(trouble)
        with pytest.raises(Driver):
            await found.run("lost")
        results = await asyncio.gather(*(found.run() for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [error] * 3
        with pytest.raises(error):
            await found.run()
        assert found.engine.dialed == ["a", "a"]
        assert found.state() is ConnectionState.DISCONNECTED


async def test_first_contact_tries_every_endpoint_once_and_names_all() -> None:
    engine = Engine()
    engine.troubles["a"] = ConnectionRefusedError(111, "Connection refused")
    engine.slow["b"] = asyncio.Event()
    engine.troubles["c"] = Driver("odd")
    pool, _ = pool_of(engine, "a", "b", "c", connect_timeout=0.2)
    began = time.monotonic()
    words = "a: Connection refused; b did not answer in time; c: odd"
    async with anyio.create_task_group() as group:
        with pytest.raises(ConnectionFailedError, match=words):
            await pool.open(group)
    assert time.monotonic() - began < 0.4
    assert engine.dialed == ["a", "b", "c"]


async def test_an_endpoint_that_is_read_only_is_passed_over_where_there_is_another() -> None:
    engine = Engine()
    engine.read_only = {"a", "b"}
    async with opened_on(engine, "a", "b", "c") as found:
        assert (await found.run()).endpoint == "c"
    engine.read_only.add("c")
    async with opened_on(engine, "a", "b", "c") as found:
        assert (await found.run()).endpoint in {"a", "b", "c"}
        assert len(engine.open) == 1


async def test_endpoints_are_used_in_turn_while_one_is_dead() -> None:
    async with opened("a", "b", reconnect_min=0.01, reconnect_max=0.02) as found:
        for dead, alive in (("a", "b"), ("b", "a")):
            found.engine.troubles = {dead: ConnectionRefusedError(111, "refused")}
            with pytest.raises(Driver):
                await found.run("lost")
            found.engine.kill()
            async with asyncio.timeout(2):
                assert (await found.run()).endpoint == alive
            assert found.state() is ConnectionState.CONNECTED


async def test_the_link_comes_back_by_itself_and_who_waits_gets_it() -> None:
    async with opened(reconnect_min=0.01, reconnect_max=0.02) as found:
        found.engine.troubles["a"] = ConnectionRefusedError(111, "refused")
        with pytest.raises(Driver):
            await found.run("lost")
        assert found.state() is ConnectionState.DISCONNECTED
        waiting = [asyncio.create_task(found.run()) for _ in range(3)]
        await until(lambda: len(found.engine.dialed) > 3)
        assert "refused" in str(found.pool.last_failure)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await found.run()
        del found.engine.troubles["a"]
        await asyncio.gather(*waiting)
        assert found.state() is ConnectionState.CONNECTED


async def test_idle_connections_that_died_are_noticed_without_a_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_module, "LOOK", 0.01)
    async with opened(reconnect_min=0.01, reconnect_max=0.02) as found:
        found.engine.troubles["a"] = ConnectionRefusedError(111, "refused")
        found.engine.kill()
        await until(lambda: found.state() is ConnectionState.DISCONNECTED)
        del found.engine.troubles["a"]
        await until(lambda: found.state() is ConnectionState.CONNECTED)


async def test_dead_idle_connections_are_dropped_when_one_is_wanted() -> None:
    async with opened() as found:
        async with found.pool.connection(), found.pool.connection():
            pass
        found.engine.kill()
        assert (await found.run()).number == 2


async def test_the_pauses_are_bounded_and_of_full_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    ceilings: list[float] = []

    def uniform(low: float, high: float) -> float:
        assert low == 0
        ceilings.append(high)
        return 0.0

    monkeypatch.setattr(random, "uniform", uniform)
    async with opened(reconnect_min=0.05, reconnect_max=0.3) as found:
        found.engine.troubles["a"] = ConnectionRefusedError(111, "refused")
        with pytest.raises(Driver):
            await found.run("lost")
        await until(lambda: len(ceilings) > 5)
    assert ceilings[:5] == [0.05, 0.1, 0.2, 0.3, 0.3]


async def test_a_dial_that_fails_while_others_live_disconnects_nothing() -> None:
    async with opened(pool_size=2, reconnect_min=0.001, reconnect_max=0.01) as found:
        found.engine.troubles["a"] = Driver("too many connections")
        async with found.pool.connection():
            waiting = asyncio.create_task(found.run())
            await until(lambda: len(found.engine.dialed) > 3)
            assert found.state() is ConnectionState.CONNECTED
        async with asyncio.timeout(1):
            assert (await waiting).number == 0


async def test_an_error_of_a_statement_keeps_the_connection_unless_it_is_in_doubt() -> None:
    async with opened() as found:
        async with found.pool.connection() as connection:
            pass
        with pytest.raises(ValueError, match="mine"):
            async with found.pool.connection():
                raise ValueError("mine")
        assert connection is await found.run()
        with pytest.raises(Driver):
            await found.run("fail")
        await until(lambda: found.engine.made[0].ends == ["abort", "give up"])
        assert (await found.run()).number == 1


async def test_after_a_deadline_what_is_idle_at_the_endpoint_is_dropped_too() -> None:
    async with opened() as found:
        async with found.pool.connection(), found.pool.connection(), found.pool.connection():
            pass
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await found.run("hang")
        found.pool.timed_out()
        assert found.state() is ConnectionState.DISCONNECTED
        assert (await found.run()).number == 3
        assert found.state() is ConnectionState.CONNECTED


async def test_closing_lets_what_is_in_use_come_back_and_refuses_who_waits() -> None:
    release = asyncio.Event()
    async with opened(pool_size=1) as found:
        held: list[Any] = []
        holder = asyncio.create_task(found.hold(release, held))
        await until(lambda: bool(held))
        waiter = asyncio.create_task(found.run())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.05, release.set)
        began = time.monotonic()
    assert time.monotonic() - began < 0.5
    await holder
    assert held[0].ends[:1] == ["close"]
    assert isinstance(await waiter, Link)
    with pytest.raises(BackendClosedError):
        await found.run()


async def test_closing_is_bounded_with_a_frozen_server_and_a_connection_that_is_out() -> None:
    engine = Engine()
    out = None
    began = time.monotonic()
    async with opened_on(engine, grace=0.1, pool_size=2) as found:
        async with found.pool.connection(), found.pool.connection():
            pass
        out = asyncio.create_task(found.run("hang"))
        waiters = [asyncio.create_task(found.run("hang")) for _ in range(3)]
        await asyncio.sleep(0.01)
        engine.frozen = True
        began = time.monotonic()
    assert time.monotonic() - began < 0.1 + 2
    for task in [out, *waiters]:
        task.cancel()
    results = await asyncio.gather(out, *waiters, return_exceptions=True)
    kinds = [type(result) for result in results]
    assert kinds == [asyncio.CancelledError] * 2 + [BackendClosedError] * 2


async def test_a_failure_of_the_driver_that_nobody_knows_is_not_hidden() -> None:
    engine = Engine()
    engine.troubles["a"] = KeyError("a bug")
    pool, _ = pool_of(engine)
    async with anyio.create_task_group() as group:
        with pytest.raises(KeyError):
            await pool.open(group)


async def test_lost_is_also_what_the_session_called_so() -> None:
    async with opened(reconnect_min=0.01) as found:
        with pytest.raises(ConnectionLostError):
            async with found.pool.connection() as connection:
                connection.abort()
                raise ConnectionLostError("gone")
        assert found.state() is ConnectionState.DISCONNECTED
        assert (await found.run()).number == 1


@pytest.mark.parametrize("seed", range(5))
async def test_a_storm_of_cancellations_leaves_no_task_and_no_connection(seed: int) -> None:
    chance = random.Random(seed)
    async with opened(pool_size=3, reconnect_min=0.001, reconnect_max=0.002) as found:
        for _ in range(200):
            statement = chance.choice(["", "", "hang", "fail", "lost"])
            task = asyncio.create_task(found.run(statement))
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError, Driver):
                await task
            assert len(found.engine.open) <= 3
        async with asyncio.timeout(2):
            await asyncio.gather(*(found.run() for _ in range(10)))
    assert len(asyncio.all_tasks()) == 1


async def rounds(pool: Pool, count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        async with pool.connection():
            pass
    return (time.perf_counter() - began) / count


async def test_taking_and_giving_back_costs_little() -> None:
    async with opened() as found:
        gc.collect()
        best = min([await rounds(found.pool, 2000) for _ in range(5)])
        # By hand 1.5 us; a machine under load must not fail it.
        assert best < 50e-6
