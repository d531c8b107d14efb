"""Opening, closing, the state of the link, and what a closed database answers."""

from typing import Any

import pytest

from asyncbackends.errors import BackendClosedError, BackendError, ConfigurationError
from asyncbackends.protocols.backend import ConnectionState
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.testing.config_database.every_call import EVERY_CALL
from asyncbackends.testing.config_database.fixtures import (
    DatabaseFixtures,
    MakeDatabase,
    OpenDatabase,
)
from asyncbackends.testing.config_database.sample import KIT_SCHEMA, Site, new_id
from asyncbackends.testing.harness import Harness

__all__ = ("LifecycleConformance",)


class LifecycleConformance(DatabaseFixtures):
    """``Backend``."""

    async def test_open_database_tells_what_it_is(self, database: ConfigDatabase) -> None:
        assert isinstance(database.engine, str)
        assert database.engine
        assert isinstance(database.limits, Limits)
        assert all(isinstance(one, Guarantee) for one in database.guarantees)
        assert database.state is ConnectionState.CONNECTED
        assert database.schema == KIT_SCHEMA

    async def test_server_info_changes_nothing(self, database: ConfigDatabase, site: Site) -> None:
        before = await database.current_revision()
        info = await database.server_info()
        assert info.product
        assert info.version
        assert await database.current_revision() == before

    @pytest.mark.parametrize("method", list(EVERY_CALL))
    async def test_call_before_connect_and_after_shutdown(
        self, make_database: MakeDatabase, method: str
    ) -> None:
        database, call = make_database(), EVERY_CALL[method]
        with pytest.raises(BackendClosedError):
            await call(database)
        await database.connect()
        try:
            await call(database)
        except BackendError as error:
            # What is asked for need not be there; but the backend is.
            assert not isinstance(error, BackendClosedError)
            assert error.engine == database.engine
            assert error.operation in {method, "ref_update"}
        await database.shutdown()
        with pytest.raises(BackendClosedError):
            await call(database)

    async def test_state_follows_the_lifecycle(self, make_database: MakeDatabase) -> None:
        database = make_database()
        seen = [database.state]
        await database.connect()
        seen.append(database.state)
        await database.shutdown()
        seen.append(database.state)
        closed = ConnectionState.CLOSED
        assert seen == [closed, ConnectionState.CONNECTED, closed]

    async def test_states_give_the_present_one_and_end_with_closed(
        self, make_database: MakeDatabase, harness: Harness
    ) -> None:
        database = make_database()
        await database.connect()
        async with database.states() as states:
            (present,) = await harness.collect(states, 1)
            assert present.state is ConnectionState.CONNECTED
            assert abs((harness.now() - present.since).total_seconds()) < 60
            assert await harness.quiet(states, 0.05)
        async with database.states() as states, harness.background(_all(states)) as seen:
            await harness.sleep(0.01)
            await database.shutdown()
            async with harness.deadline(5):
                found = await seen.result()
        assert found[0].state is ConnectionState.CONNECTED
        assert found[-1].state is ConnectionState.CLOSED

    async def test_second_connect_is_an_error(self, make_database: MakeDatabase) -> None:
        database = make_database()
        await database.connect()
        try:
            with pytest.raises(ConfigurationError):
                await database.connect()
            assert await database.current_revision() >= 0
        finally:
            await database.shutdown()

    async def test_shutdown_is_idempotent(self, make_database: MakeDatabase) -> None:
        unconnected = make_database()
        await unconnected.shutdown()
        database = make_database()
        await database.connect()
        for _ in range(3):
            await database.shutdown(grace=0)

    async def test_concurrent_shutdowns_all_end(
        self, make_database: MakeDatabase, harness: Harness
    ) -> None:
        database = make_database()
        await database.connect()
        async with harness.deadline(5):
            await harness.gather(*(database.shutdown() for _ in range(3)))
        assert database.state is ConnectionState.CLOSED

    async def test_unknown_parameter_names_the_nearest(
        self, make_database: MakeDatabase, open_database: OpenDatabase
    ) -> None:
        database = make_database()
        with pytest.raises(ConfigurationError, match="operation_timeout"):
            await database.connect(operaton_timeout=5)
        with pytest.raises(ConfigurationError, match="operation_timeout"):
            async with open_database(operaton_timeout=5):
                pass

    @pytest.mark.parametrize("wrong", [0, -1, "soon"])
    async def test_wrong_value_is_refused(self, open_database: OpenDatabase, wrong: Any) -> None:
        with pytest.raises(ConfigurationError, match="operation_timeout"):
            async with open_database(operation_timeout=wrong):
                pass

    async def test_parameters_of_connect_count(self, make_database: MakeDatabase) -> None:
        database = make_database()
        await database.connect(integrity="legacy")
        try:
            # Without a parent: only the legacy rules permit it.
            await database.object_create("virtual_network", uuid := new_id(), {"fq_name": ["n"]})
            assert "parent_uuid" not in await database.object_get("virtual_network", uuid)
        finally:
            await database.shutdown()

    async def test_ends_may_be_in_different_tasks(
        self, make_database: MakeDatabase, harness: Harness
    ) -> None:
        database = make_database()
        await harness.gather(database.connect())
        (count,) = await harness.gather(database.object_list("tag", count=True))
        assert count == 0
        await harness.gather(database.shutdown())

    async def test_nothing_is_left_running(
        self, open_database: OpenDatabase, harness: Harness
    ) -> None:
        before = harness.running()
        for _ in range(3):
            async with open_database() as database:
                async with database.watch() as feed, database.states():
                    uuid = new_id()
                    await database.object_create("tag", uuid, {"fq_name": [uuid]})
                    await harness.collect(feed, 1)
                assert await harness.quiet(feed, 0.01)
        assert harness.running() == before

    async def test_calls_in_flight_end_with_the_shutdown(
        self, make_database: MakeDatabase, harness: Harness
    ) -> None:
        database = make_database()
        await database.connect()
        creates = (
            database.object_create("tag", new_id(), {"fq_name": [f"t{number}"]})
            for number in range(20)
        )
        async with harness.background(harness.outcomes(*creates)) as running:
            await database.shutdown()
            async with harness.deadline(5):
                outcomes = await running.result()
        # Each was done, or was refused: none hangs.
        errors = [error for _, error in outcomes if error is not None]
        assert all(isinstance(error, BackendError) for error in errors)

    async def test_guarantees_can_be_required(
        self, database: ConfigDatabase, open_database: OpenDatabase
    ) -> None:
        given = ", ".join(sorted(database.guarantees))
        if self.clients_share:
            async with open_database(require=given) as other:
                assert other.guarantees == database.guarantees
        missing = sorted({*Guarantee} - database.guarantees)
        for guarantee in missing:
            with pytest.raises(ConfigurationError, match=guarantee):
                async with open_database(require=guarantee):
                    pass

    async def test_opened_again_and_again(self, open_database: OpenDatabase) -> None:
        for _ in range(5):
            async with open_database() as database:
                assert await database.object_list("tag", count=True) >= 0


async def _all(states: Any) -> list[Any]:
    return [status async for status in states]
