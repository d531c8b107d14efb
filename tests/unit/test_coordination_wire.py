"""The core of coordination over a wire holds the contract, also across faults."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends import open_coordination
from asyncbackends.errors import ConnectionLostError
from asyncbackends.protocols.coordination import SessionState
from asyncbackends.testing.coordination import (
    CoordinationConformance,
    CoordinationFaultsConformance,
)
from asyncbackends.testing.coordination.fixtures import SessionFaults
from asyncbackends.testing.harness import AsyncioHarness
from asyncbackends.testing.recipes import RecipesConformance
from tests.unit.tree_wire import server_of


@pytest.fixture
def name() -> str:
    return f"tree-{uuid4().hex}"


class TestWireCoordination(CoordinationConformance):
    @pytest.fixture
    def settings(self, name: str) -> dict[str, Any]:
        return {"engine": "tests.unit.tree_wire:engine", "endpoints": name, "reconnect_max": 0.05}


async def test_place_that_could_not_be_given_up_in_time_goes_when_the_link_is_back(
    name: str,
) -> None:
    """Its session lives on: with nobody left to take it away it would block all behind it."""
    settings: dict[str, Any] = {"engine": "tests.unit.tree_wire:engine", "endpoints": name}
    soon: dict[str, Any] = {"operation_timeout": 0.1, "reconnect_max": 0.05}
    async with open_coordination(**settings, **soon) as one, open_coordination(**settings) as two:
        session = one.session
        given_up, cancelled = await one.contend("/line"), await one.contend("/line")
        server_of(name).drop_connection()
        with pytest.raises(ConnectionLostError):
            await one.withdraw(given_up)
        withdrawing = asyncio.create_task(one.withdraw(cancelled))
        await asyncio.sleep(0.02)
        withdrawing.cancel()
        await asyncio.wait({withdrawing})
        server_of(name).restore_connection()

        async def nobody() -> bool:
            return not await two.contenders("/line")

        assert await AsyncioHarness(5).eventually(nobody)
        assert one.session is session
        assert session.state is SessionState.CONNECTED


class TestWireCoordinationFaults(CoordinationFaultsConformance):
    @pytest.fixture
    def settings(self, name: str) -> dict[str, Any]:
        return {"engine": "tests.unit.tree_wire:engine", "endpoints": name, "reconnect_max": 0.05}

    @pytest.fixture
    def faults(self, name: str) -> Iterator[SessionFaults]:
        yield server_of(name)
        server_of(name).clear()


class TestRecipesOverAWire(RecipesConformance):
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        endpoint = f"tree-{uuid4().hex}"
        return {"engine": "tests.unit.tree_wire:engine", "endpoints": endpoint}
