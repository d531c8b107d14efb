"""Calls over the memory engine's message broker hold what they promise."""

from uuid import uuid4

import pytest

from asyncbackends.testing.message_broker.link_faults import LinkFaults
from asyncbackends.testing.rpc import RpcConformance, RpcOutagesConformance
from asyncbackends_memory import broker_faults


class TestMemoryRpc(RpcConformance):
    engine = "memory"

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        return {"engine": "memory", "endpoints": f"rpc-{uuid4()}"}


class TestMemoryRpcOutages(RpcOutagesConformance):
    engine = "memory"

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        return {"engine": "memory", "endpoints": f"rpc-{uuid4()}"}

    @pytest.fixture
    def link_faults(self, settings: dict[str, str]) -> LinkFaults:
        return broker_faults(settings["endpoints"])
