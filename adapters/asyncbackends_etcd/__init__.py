"""The engine over etcd."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from asyncbackends.protocols.backend import Kind
from asyncbackends.registry import Engine
from asyncbackends_etcd.options import GUARANTEES, LIMITS, EtcdCoordinationOptions

if TYPE_CHECKING:
    from asyncbackends.coordination.wire_service import WireCoordination

__all__ = ("EtcdCoordinationOptions", "coordination")


def _load() -> (
    "Callable[[Sequence[str], EtcdCoordinationOptions], WireCoordination[EtcdCoordinationOptions]]"
):
    from asyncbackends_etcd.wire import create  # noqa: PLC0415  # late: it imports the driver

    return create


coordination: "Engine[EtcdCoordinationOptions, WireCoordination[EtcdCoordinationOptions]]" = Engine(
    kind=Kind.COORDINATION,
    name="etcd",
    options=EtcdCoordinationOptions,
    load=_load,
    guarantees=GUARANTEES,
    limits=LIMITS,
)
