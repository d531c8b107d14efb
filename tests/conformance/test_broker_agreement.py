"""Random operations: the memory broker does what a model of exchanges and queues says."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import settings

from asyncbackends.testing import LinkFaults
from asyncbackends.testing.message_broker_machine import MessageBrokerAgreement
from asyncbackends_memory import broker_faults

EXAMPLES = {"ci": 20, "soak": 1000}


@pytest.mark.timeout(600)
class TestMemoryBrokerAgreesWithTheModel(MessageBrokerAgreement):
    engine = "memory"

    @pytest.fixture
    def machine_settings(self, length: str) -> settings:
        self.examples = EXAMPLES[length]
        self.derandomize = length == "ci"
        return self.as_settings()

    @pytest.fixture
    def fresh_settings(self) -> Callable[[], Mapping[str, str]]:
        return lambda: {"engine": "memory", "endpoints": str(uuid4())}

    @pytest.fixture
    def fresh_faults(self) -> Callable[[Mapping[str, Any]], LinkFaults]:
        return lambda settings: broker_faults(settings["endpoints"])
