"""The engine over ZooKeeper."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from asyncbackends.protocols.backend import Kind
from asyncbackends.registry import Engine
from asyncbackends_zookeeper.options import (
    COORDINATION_GUARANTEES,
    COORDINATION_LIMITS,
    ZooKeeperOptions,
)

if TYPE_CHECKING:
    from asyncbackends.coordination.wire_service import WireCoordination

__all__ = ("ZooKeeperOptions", "coordination")


def _load() -> "Callable[[Sequence[str], ZooKeeperOptions], WireCoordination[ZooKeeperOptions]]":
    from asyncbackends_zookeeper.wire import create  # noqa: PLC0415  # late: it imports the driver

    return create


coordination: "Engine[ZooKeeperOptions, WireCoordination[ZooKeeperOptions]]" = Engine(
    kind=Kind.COORDINATION,
    name="zookeeper",
    options=ZooKeeperOptions,
    load=_load,
    guarantees=COORDINATION_GUARANTEES,
    limits=COORDINATION_LIMITS,
)
