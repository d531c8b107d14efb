"""Random operations: the broker on RabbitMQ does what a model of exchanges and queues says."""

import pytest

from tests.conformance.proxied_agreement import ProxiedBrokerAgreement
from tests.servers.amqp_faults import AmqpFaults


class ConsumingFaults(AmqpFaults):
    """Breaks links for consuming alone.

    A message that is sent again is stored twice by a broker that knows no ids, where the model has
    one that is in hand or dead.
    """

    def drop_publishing(self) -> None:
        pass

    def mute_publishing(self) -> None:
        pass

    def hold_confirms(self) -> None:
        pass


@pytest.mark.timeout(600)
class TestRabbitMqBrokerAgreesWithTheModel(ProxiedBrokerAgreement):
    engine = "rabbitmq"
    proxy = ConsumingFaults
    lengths = {"ci": 5, "soak": 200}  # noqa: RUF012  # the base class says that it is the class's
