"""The memory engine holds the contract of the message broker, also across faults."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends.testing import (
    LinkFaults,
    MessageBrokerConformance,
    MessageBrokerFaultsConformance,
)
from asyncbackends.testing.message_broker.cancellation import BrokerCancellationConformance
from asyncbackends.testing.message_broker.concurrency import ConcurrencyConformance
from asyncbackends.testing.message_broker.fencing import FencingConformance
from asyncbackends.testing.message_broker.outages import OutagesConformance
from asyncbackends.testing.message_broker.reconnecting import ReconnectingConformance
from asyncbackends_memory import broker_faults


class TestMemoryBroker(MessageBrokerConformance):
    engine = "memory"

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        return {"engine": "memory", "endpoints": f"conformance-{uuid4()}"}


class TestMemoryBrokerOnUvloop(
    BrokerCancellationConformance,
    ConcurrencyConformance,
    ReconnectingConformance,
    OutagesConformance,
    FencingConformance,
):
    """What depends on the order in which a loop makes its calls."""

    engine = "memory"
    event_loop = "uvloop"

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        return {"engine": "memory", "endpoints": f"conformance-{uuid4()}"}

    @pytest.fixture
    def link_faults(self, settings: Mapping[str, Any]) -> LinkFaults:
        return broker_faults(settings["endpoints"])


class TestMemoryBrokerFaults(MessageBrokerFaultsConformance):
    engine = "memory"

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        return {"engine": "memory", "endpoints": f"conformance-{uuid4()}"}

    @pytest.fixture
    def link_faults(self, settings: Mapping[str, Any]) -> LinkFaults:
        return broker_faults(settings["endpoints"])
