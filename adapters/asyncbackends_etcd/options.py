"""What the etcd engine is configured with and what it promises."""

from typing import Final

from asyncbackends.coordination.paths import MAX_PATH_BYTES, MAX_VALUE_BYTES
from asyncbackends.coordination.transaction import MAX_OPERATIONS
from asyncbackends.options import ServerCoordinationOptions
from asyncbackends.protocols.guarantees import Guarantee, Limits

__all__ = ("GUARANTEES", "LIMITS", "EtcdCoordinationOptions")

GUARANTEES: Final = frozenset(
    {
        Guarantee.LINEARIZABLE_READS,
        Guarantee.ATOMIC_TRANSACTIONS,
        Guarantee.ATOMIC_RECURSIVE_DELETE,
        Guarantee.EXPIRING_SESSIONS,
        Guarantee.FENCING_TOKENS,
        Guarantee.SHARED_BETWEEN_PROCESSES,
        Guarantee.SURVIVES_PROCESS_KILL,
        Guarantee.SURVIVES_POWER_LOSS,
    }
)

LIMITS: Final = Limits(
    value_bytes=MAX_VALUE_BYTES, transaction_operations=MAX_OPERATIONS, path_bytes=MAX_PATH_BYTES
)


class EtcdCoordinationOptions(ServerCoordinationOptions, frozen=True, kw_only=True):
    """Options of the etcd coordination service: those that every one with a server has."""
