"""The engine of message brokers on RabbitMQ."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from asyncbackends.protocols.backend import Kind
from asyncbackends.protocols.guarantees import Limits
from asyncbackends.registry import Engine
from asyncbackends_rabbitmq.options import RABBITMQ_GUARANTEES, RabbitMqBrokerOptions

if TYPE_CHECKING:
    from asyncbackends.broker.wire_broker import WireBroker

__all__ = ("RabbitMqBrokerOptions", "message_broker")


def _load() -> (
    "Callable[[Sequence[str], RabbitMqBrokerOptions], WireBroker[RabbitMqBrokerOptions]]"
):
    from asyncbackends_rabbitmq.wire import create  # noqa: PLC0415  # late

    return create


message_broker: "Engine[RabbitMqBrokerOptions, WireBroker[RabbitMqBrokerOptions]]" = Engine(
    kind=Kind.MESSAGE_BROKER,
    name="rabbitmq",
    options=RabbitMqBrokerOptions,
    load=_load,
    guarantees=RABBITMQ_GUARANTEES,
    limits=Limits(message_bytes=1_000_000),
)
