"""What the rabbitmq engine is configured with, and what it promises."""

from typing import Annotated, Final

import msgspec

from asyncbackends.options import ServerBrokerOptions
from asyncbackends.protocols.guarantees import Guarantee

__all__ = ("RABBITMQ_GUARANTEES", "RabbitMqBrokerOptions")

RABBITMQ_GUARANTEES: Final = frozenset(
    {
        Guarantee.ORDERED_PER_PUBLISHER,
        Guarantee.REDELIVERS_UNACKED,
        Guarantee.MANDATORY_EXACT,
        Guarantee.DIRECT_ROUTING,
        Guarantee.BOUNDED_QUEUES,
        Guarantee.SHARED_BETWEEN_PROCESSES,
        Guarantee.SURVIVES_PROCESS_KILL,
    }
)
"""Not EXACT_DELIVERY_COUNT: quorum queues count, classic ones only say that it is not the first.

SURVIVES_POWER_LOSS comes with ``durability = disk``: a quorum queue confirms what is on disk in any
case, and a durable classic one, which may not, is refused then.
"""


class RabbitMqBrokerOptions(ServerBrokerOptions, frozen=True, kw_only=True):
    """Options of the rabbitmq message broker.

    AMQP counts heartbeats in whole seconds: a ``link_timeout`` below 1 is taken as 1.
    """

    virtual_host: Annotated[str, msgspec.Meta(min_length=1, max_length=127)] = "/"
