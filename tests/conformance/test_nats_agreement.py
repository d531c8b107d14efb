"""Random operations: the broker on NATS does what a model of exchanges and queues says."""

import pytest

from tests.conformance.proxied_agreement import ProxiedBrokerAgreement
from tests.servers.nats_faults import NatsFaults


@pytest.mark.timeout(600)
class TestNatsBrokerAgreesWithTheModel(ProxiedBrokerAgreement):
    engine = "nats"
    proxy = NatsFaults
    lengths = {"ci": 2, "soak": 100}  # noqa: RUF012  # the base class says that it is the class's
