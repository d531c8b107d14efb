"""The engine over NATS with JetStream."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from asyncbackends.protocols.backend import Kind
from asyncbackends.protocols.guarantees import Limits
from asyncbackends.registry import Engine
from asyncbackends_nats.options import BROKER_GUARANTEES, NatsBrokerOptions

if TYPE_CHECKING:
    from asyncbackends.broker.wire_broker import WireBroker

__all__ = ("NatsBrokerOptions", "message_broker")


def _load() -> "Callable[[Sequence[str], NatsBrokerOptions], WireBroker[NatsBrokerOptions]]":
    from asyncbackends_nats.wire import create  # noqa: PLC0415  # late: it imports the driver

    return create


message_broker: "Engine[NatsBrokerOptions, WireBroker[NatsBrokerOptions]]" = Engine(
    kind=Kind.MESSAGE_BROKER,
    name="nats",
    options=NatsBrokerOptions,
    load=_load,
    guarantees=BROKER_GUARANTEES,
    limits=Limits(message_bytes=1_000_000),
)
