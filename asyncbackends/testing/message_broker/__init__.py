"""The conformance kit of the message broker: a class of tests per narrow subject."""

from asyncbackends.testing.message_broker.arguments import ArgumentsConformance
from asyncbackends.testing.message_broker.cancellation import BrokerCancellationConformance
from asyncbackends.testing.message_broker.concurrency import ConcurrencyConformance
from asyncbackends.testing.message_broker.consuming import ConsumingConformance
from asyncbackends.testing.message_broker.contents import ContentsConformance
from asyncbackends.testing.message_broker.dead_letters import DeadLettersConformance
from asyncbackends.testing.message_broker.deadlines import DeadlinesConformance
from asyncbackends.testing.message_broker.declarations import DeclarationsConformance
from asyncbackends.testing.message_broker.deliveries import DeliveriesConformance
from asyncbackends.testing.message_broker.expiry import ExpiryConformance
from asyncbackends.testing.message_broker.fanout import FanoutConformance
from asyncbackends.testing.message_broker.fencing import FencingConformance
from asyncbackends.testing.message_broker.fixtures import BrokerFaultFixtures, BrokerFixtures
from asyncbackends.testing.message_broker.gaps import GapsConformance
from asyncbackends.testing.message_broker.guarantees import BrokerGuaranteesConformance
from asyncbackends.testing.message_broker.lengths import LengthsConformance
from asyncbackends.testing.message_broker.lifecycle import BrokerLifecycleConformance
from asyncbackends.testing.message_broker.link_faults import LinkFaults
from asyncbackends.testing.message_broker.losses import LossesConformance
from asyncbackends.testing.message_broker.ordering import OrderingConformance
from asyncbackends.testing.message_broker.outages import OutagesConformance
from asyncbackends.testing.message_broker.outbox import OutboxConformance
from asyncbackends.testing.message_broker.polling import PollingConformance
from asyncbackends.testing.message_broker.processes import BrokerProcessesConformance
from asyncbackends.testing.message_broker.processing import ProcessingConformance
from asyncbackends.testing.message_broker.reconnecting import ReconnectingConformance
from asyncbackends.testing.message_broker.routing import RoutingConformance
from asyncbackends.testing.message_broker.settling import SettlingConformance
from asyncbackends.testing.message_broker.troubles import BlockingConformance, CulpritsConformance

__all__ = (
    "BrokerFaultFixtures",
    "BrokerFixtures",
    "LinkFaults",
    "MessageBrokerConformance",
    "MessageBrokerFaultsConformance",
)


class MessageBrokerConformance(
    FanoutConformance,
    OrderingConformance,
    ContentsConformance,
    ArgumentsConformance,
    DeliveriesConformance,
    SettlingConformance,
    ProcessingConformance,
    DeadLettersConformance,
    ExpiryConformance,
    LengthsConformance,
    ConsumingConformance,
    PollingConformance,
    DeclarationsConformance,
    RoutingConformance,
    OutboxConformance,
    GapsConformance,
    ConcurrencyConformance,
    BrokerCancellationConformance,
    BrokerLifecycleConformance,
    BrokerGuaranteesConformance,
    BrokerProcessesConformance,
):
    """All that an engine of the kind ``message_broker`` has to hold.

    Inherit it, name the engine, and say in the fixture ``settings`` how it is opened::

        class TestPigeons(MessageBrokerConformance):
            engine = "pigeons"

            @pytest.fixture
            def settings(self):
                return {"engine": "pigeons", "endpoints": "localhost:1000"}

    Nothing is skipped: what an engine declares must hold, and what it does not declare must show
    its lack.
    """


class MessageBrokerFaultsConformance(
    OutagesConformance,
    ReconnectingConformance,
    FencingConformance,
    DeadlinesConformance,
    BlockingConformance,
    CulpritsConformance,
    LossesConformance,
):
    """The same across faults, for a suite that can break what is between client and broker.

    Beside ``settings`` it overrides the fixture ``link_faults`` with a :class:`LinkFaults`.
    """
