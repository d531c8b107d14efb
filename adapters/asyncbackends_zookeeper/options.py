"""What the zookeeper engine is configured with."""

from typing import Final, Literal

from asyncbackends.coordination.paths import MAX_PATH_BYTES, MAX_VALUE_BYTES
from asyncbackends.coordination.transaction import MAX_OPERATIONS
from asyncbackends.options import ServerCoordinationOptions
from asyncbackends.protocols.guarantees import Guarantee, Limits

__all__ = ("COORDINATION_GUARANTEES", "COORDINATION_LIMITS", "ZooKeeperOptions")

COORDINATION_GUARANTEES: Final = frozenset(
    {
        Guarantee.LINEARIZABLE_READS,
        Guarantee.ATOMIC_TRANSACTIONS,
        Guarantee.ATOMIC_RECURSIVE_DELETE,
        Guarantee.EXPIRING_SESSIONS,
        Guarantee.FENCING_TOKENS,
        Guarantee.SHARED_BETWEEN_PROCESSES,
        Guarantee.SURVIVES_PROCESS_KILL,
    }
)
COORDINATION_LIMITS: Final = Limits(
    value_bytes=MAX_VALUE_BYTES,
    path_bytes=MAX_PATH_BYTES,
    transaction_operations=MAX_OPERATIONS,
)


class ZooKeeperOptions(ServerCoordinationOptions, frozen=True, kw_only=True):
    """Options of the zookeeper coordination service."""

    acl: Literal["open", "creator"] | None = None
    """Who may use the nodes that this client makes: everybody, or who logs in as it does.

    None is creator with a username, and open without one.
    """
    durability: Literal["process", "disk"] = "process"
    """disk: the operator says that the servers wait for their disks (``forceSync=yes``)."""
    sasl_mechanism: str | None = None
    """Not supported yet, and refused; ``username`` and ``password`` log in by digest."""

    @property
    def is_open(self) -> bool:
        """Whether everybody may use what this client makes."""
        return self.acl == "open" or (self.acl is None and self.username is None)
