"""The embedded engine that keeps everything in this process: the reference semantics.

``faults(name)``, ``broker_faults(name)`` and ``coordination_faults(name)`` give the switchboards
with which users test their own failure paths.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from asyncbackends.protocols.backend import Kind
from asyncbackends.protocols.guarantees import Limits
from asyncbackends.registry import Engine
from asyncbackends_memory.messaging.faults import BrokerFaults, broker_faults
from asyncbackends_memory.options import (
    BROKER_GUARANTEES,
    COORDINATION_GUARANTEES,
    COORDINATION_LIMITS,
    DATABASE_GUARANTEES,
    MemoryBrokerOptions,
    MemoryCoordinationOptions,
    MemoryDatabaseOptions,
)
from asyncbackends_memory.switchboard import Faults, faults
from asyncbackends_memory.tree.faults import CoordinationFaults, coordination_faults

if TYPE_CHECKING:
    from asyncbackends.broker.wire_broker import WireBroker
    from asyncbackends_memory.database import MemoryConfigDatabase
    from asyncbackends_memory.tree.service import MemoryCoordinationService

__all__ = (
    "BrokerFaults",
    "CoordinationFaults",
    "Faults",
    "MemoryBrokerOptions",
    "MemoryCoordinationOptions",
    "MemoryDatabaseOptions",
    "broker_faults",
    "config_database",
    "coordination",
    "coordination_faults",
    "faults",
    "message_broker",
)


def _load() -> "Callable[[Sequence[str], MemoryDatabaseOptions], MemoryConfigDatabase]":
    from asyncbackends_memory.database import MemoryConfigDatabase  # noqa: PLC0415  # late

    return MemoryConfigDatabase


def _load_broker() -> (
    "Callable[[Sequence[str], MemoryBrokerOptions], WireBroker[MemoryBrokerOptions]]"
):
    from asyncbackends_memory.messaging.wire import create  # noqa: PLC0415  # late

    return create


def _load_coordination() -> (
    "Callable[[Sequence[str], MemoryCoordinationOptions], MemoryCoordinationService]"
):
    from asyncbackends_memory.tree.service import MemoryCoordinationService  # noqa: PLC0415  # late

    return MemoryCoordinationService


config_database: "Engine[MemoryDatabaseOptions, MemoryConfigDatabase]" = Engine(
    kind=Kind.CONFIG_DATABASE,
    name="memory",
    options=MemoryDatabaseOptions,
    load=_load,
    guarantees=DATABASE_GUARANTEES,
)

message_broker: "Engine[MemoryBrokerOptions, WireBroker[MemoryBrokerOptions]]" = Engine(
    kind=Kind.MESSAGE_BROKER,
    name="memory",
    options=MemoryBrokerOptions,
    load=_load_broker,
    guarantees=BROKER_GUARANTEES,
    limits=Limits(message_bytes=1_000_000),
)

coordination: "Engine[MemoryCoordinationOptions, MemoryCoordinationService]" = Engine(
    kind=Kind.COORDINATION,
    name="memory",
    options=MemoryCoordinationOptions,
    load=_load_coordination,
    guarantees=COORDINATION_GUARANTEES,
    limits=COORDINATION_LIMITS,
)
