"""Opening, closing, the state of the link, and what a closed service answers."""

from typing import Any

import pytest

from asyncbackends.errors import BackendClosedError, BackendError, ConfigurationError
from asyncbackends.protocols.backend import ConnectionState
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.testing.coordination.every_call import EVERY_CALL
from asyncbackends.testing.coordination.feeds import Feed
from asyncbackends.testing.coordination.fixtures import (
    Coordination,
    CoordinationFixtures,
    MakeCoordination,
    OpenCoordination,
)
from asyncbackends.testing.harness import Harness

__all__ = ("CoordinationLifecycleConformance",)


class CoordinationLifecycleConformance(CoordinationFixtures):
    """``Backend``, of the coordination service."""

    async def test_open_service_tells_what_it_is(self, coordination: Coordination) -> None:
        assert isinstance(coordination.engine, str)
        assert coordination.engine
        assert isinstance(coordination.limits, Limits)
        assert all(isinstance(one, Guarantee) for one in coordination.guarantees)
        assert coordination.state is ConnectionState.CONNECTED

    async def test_server_info(self, coordination: Coordination) -> None:
        info = await coordination.server_info()
        assert info.product
        assert info.version

    @pytest.mark.parametrize("method", list(EVERY_CALL))
    async def test_call_before_connect_and_after_shutdown_is_refused(
        self, make_coordination: MakeCoordination, method: str
    ) -> None:
        coordination, call = make_coordination(), EVERY_CALL[method]
        with pytest.raises(BackendClosedError):
            await call(coordination)
        await coordination.connect()
        try:
            await call(coordination)
        except BackendError as error:
            # What is asked for need not be there; but the backend is.
            assert not isinstance(error, BackendClosedError)
            assert error.engine == coordination.engine
            assert error.operation == method
        finally:
            await coordination.shutdown()
        with pytest.raises(BackendClosedError):
            await call(coordination)

    async def test_no_session_before_connect(self, make_coordination: MakeCoordination) -> None:
        with pytest.raises(BackendClosedError):
            _ = make_coordination().session

    async def test_state_of_the_link_follows_the_lifecycle(
        self, make_coordination: MakeCoordination
    ) -> None:
        coordination = make_coordination()
        seen = [coordination.state]
        await coordination.connect()
        seen.append(coordination.state)
        await coordination.shutdown()
        seen.append(coordination.state)
        closed = ConnectionState.CLOSED
        assert seen == [closed, ConnectionState.CONNECTED, closed]

    async def test_states_of_the_link_end_with_closed(
        self, make_coordination: MakeCoordination, harness: Harness
    ) -> None:
        coordination = make_coordination()
        await coordination.connect()
        async with coordination.states() as states:
            (present,) = await harness.collect(states, 1)
            assert present.state is ConnectionState.CONNECTED
            assert abs((harness.now() - present.since).total_seconds()) < 60
            assert await harness.quiet(states, 0.05)
        async with coordination.states() as states, harness.background(_all(states)) as seen:
            await harness.sleep(0.01)
            await coordination.shutdown()
            async with harness.deadline(5):
                found = await seen.result()
        assert found[0].state is ConnectionState.CONNECTED
        assert found[-1].state is ConnectionState.CLOSED

    async def test_service_is_connected_once(
        self, make_coordination: MakeCoordination, root: str
    ) -> None:
        coordination = make_coordination()
        await coordination.connect()
        try:
            with pytest.raises(ConfigurationError):
                await coordination.connect()
            assert await coordination.exists(root) is None
        finally:
            await coordination.shutdown()

    async def test_shutdown_again_is_no_error(self, make_coordination: MakeCoordination) -> None:
        unconnected = make_coordination()
        await unconnected.shutdown()
        coordination = make_coordination()
        await coordination.connect()
        for _ in range(3):
            await coordination.shutdown(grace=0)

    async def test_several_shutdowns_at_once_all_end(
        self, make_coordination: MakeCoordination, harness: Harness
    ) -> None:
        coordination = make_coordination()
        await coordination.connect()
        async with harness.deadline(5):
            await harness.gather(*(coordination.shutdown() for _ in range(3)))
        assert coordination.state is ConnectionState.CLOSED

    async def test_unknown_option_names_the_nearest(
        self, make_coordination: MakeCoordination, open_coordination: OpenCoordination
    ) -> None:
        coordination = make_coordination()
        with pytest.raises(ConfigurationError, match="session_ttl"):
            await coordination.connect(sesion_ttl=5)
        with pytest.raises(ConfigurationError, match="session_ttl"):
            async with open_coordination(sesion_ttl=5):
                pass

    @pytest.mark.parametrize("wrong", [0, -1, "soon"])
    async def test_wrong_option_is_refused(
        self, open_coordination: OpenCoordination, wrong: Any
    ) -> None:
        with pytest.raises(ConfigurationError, match="operation_timeout"):
            async with open_coordination(operation_timeout=wrong):
                pass

    async def test_options_of_connect_count(
        self, make_coordination: MakeCoordination, root: str
    ) -> None:
        coordination = make_coordination()
        await coordination.connect(fence_epoch=3)
        try:
            assert (await coordination.contend(root)).fence.epoch == 3
        finally:
            await coordination.shutdown()

    async def test_connect_and_shutdown_may_be_in_different_tasks(
        self, make_coordination: MakeCoordination, root: str, harness: Harness
    ) -> None:
        coordination = make_coordination()
        await harness.gather(coordination.connect())
        (stat,) = await harness.gather(coordination.create_node(root, ephemeral=True))
        assert stat.ephemeral_owner == coordination.session.id
        await harness.gather(coordination.shutdown())

    async def test_no_task_is_left(
        self, open_coordination: OpenCoordination, root: str, harness: Harness
    ) -> None:
        before = harness.running()
        for number in range(3):
            async with (
                open_coordination() as coordination,
                coordination.watch(root, scope="tree") as feed,
                coordination.states(),
                coordination.session.states(),
            ):
                await coordination.create_node(f"{root}/{number}", ephemeral=True)
                await coordination.contend(root)
                await harness.collect(feed, 1)
        assert harness.running() == before

    async def test_watch_outlives_no_shutdown(
        self, make_coordination: MakeCoordination, root: str, harness: Harness
    ) -> None:
        coordination = make_coordination()
        await coordination.connect()
        watch = coordination.watch(root)
        feed = await watch.__aenter__()
        async with harness.background(_next(feed)) as waiting:
            await harness.sleep(0.01)
            await coordination.shutdown()
            async with harness.deadline(5):
                with pytest.raises(BackendClosedError):
                    await waiting.result()
        with pytest.raises(BackendClosedError):
            await anext(feed)
        await watch.__aexit__(None, None, None)

    async def test_calls_in_flight_end_with_shutdown(
        self, make_coordination: MakeCoordination, root: str, harness: Harness
    ) -> None:
        coordination = make_coordination()
        await coordination.connect()
        calls: list[Any] = [coordination.create_node(f"{root}/{n}") for n in range(20)]
        calls += [coordination.contend(root) for _ in range(20)]
        async with harness.background(harness.outcomes(*calls)) as running:
            await coordination.shutdown()
            async with harness.deadline(5):
                outcomes = await running.result()
        # Each was done, or was refused: none hangs.
        errors = [error for _, error in outcomes if error is not None]
        assert all(isinstance(error, BackendError) for error in errors)

    async def test_declared_guarantees_can_be_required(
        self, coordination: Coordination, open_coordination: OpenCoordination
    ) -> None:
        given = ", ".join(sorted(coordination.guarantees))
        async with open_coordination(require=given) as opened:
            assert opened.guarantees == coordination.guarantees
        for guarantee in sorted({*Guarantee} - coordination.guarantees):
            with pytest.raises(ConfigurationError, match=guarantee):
                async with open_coordination(require=guarantee):
                    pass

    async def test_opens_again_and_again(
        self, open_coordination: OpenCoordination, root: str
    ) -> None:
        for _ in range(5):
            async with open_coordination() as coordination:
                assert await coordination.exists(root) is None
                await coordination.create_node(root, ephemeral=True)


async def _all(states: Any) -> list[Any]:
    return [status async for status in states]


async def _next(feed: Feed) -> Any:
    return await anext(feed)
