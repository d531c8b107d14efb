"""The engine over NATS with JetStream."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from asyncbackends.protocols.backend import Kind
from asyncbackends.protocols.guarantees import Limits
from asyncbackends.registry import Engine
from asyncbackends_nats.options import (
    BROKER_GUARANTEES,
    COORDINATION_GUARANTEES,
    COORDINATION_LIMITS,
    NatsBrokerOptions,
    NatsCoordinationOptions,
)

if TYPE_CHECKING:
    from asyncbackends.broker.wire_broker import WireBroker
    from asyncbackends.coordination.wire_service import WireCoordination

__all__ = ("NatsBrokerOptions", "NatsCoordinationOptions", "coordination", "message_broker")


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


def _load_coordination() -> (
    "Callable[[Sequence[str], NatsCoordinationOptions], WireCoordination[NatsCoordinationOptions]]"
):
    from asyncbackends_nats.tree.wire import create  # noqa: PLC0415  # late: it imports the driver

    return create


coordination: "Engine[NatsCoordinationOptions, WireCoordination[NatsCoordinationOptions]]" = Engine(
    kind=Kind.COORDINATION,
    name="nats",
    options=NatsCoordinationOptions,
    load=_load_coordination,
    guarantees=COORDINATION_GUARANTEES,
    limits=COORDINATION_LIMITS,
)
