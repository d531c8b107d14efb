"""What the memory engine is configured with and what it promises."""

from typing import Annotated

import msgspec

from asyncbackends.coordination.paths import MAX_PATH_BYTES, MAX_VALUE_BYTES
from asyncbackends.coordination.transaction import MAX_OPERATIONS
from asyncbackends.options import BrokerOptions, CoordinationOptions, DatabaseOptions
from asyncbackends.protocols.guarantees import Guarantee, Limits

__all__ = (
    "BROKER_GUARANTEES",
    "COORDINATION_GUARANTEES",
    "COORDINATION_LIMITS",
    "DATABASE_GUARANTEES",
    "MemoryBrokerOptions",
    "MemoryCoordinationOptions",
    "MemoryDatabaseOptions",
)

DATABASE_GUARANTEES = frozenset(
    {
        Guarantee.ATOMIC_WRITES,
        Guarantee.UNIQUE_NAMES,
        Guarantee.ENFORCED_REFERENCES,
        Guarantee.READ_YOUR_WRITES,
        Guarantee.SNAPSHOT_READS,
        Guarantee.ATOMIC_BATCH,
        Guarantee.ORDERED_WATCH,
        Guarantee.DATABASE_WIDE_REVISION,
        Guarantee.FENCED_WRITES,
    }
)

BROKER_GUARANTEES = frozenset(
    {
        Guarantee.ORDERED_PER_PUBLISHER,
        Guarantee.REDELIVERS_UNACKED,
        Guarantee.SERVER_DEDUPE,
        Guarantee.EXACT_DELIVERY_COUNT,
        Guarantee.MANDATORY_EXACT,
        Guarantee.DIRECT_ROUTING,
        Guarantee.BOUNDED_QUEUES,
        Guarantee.DETECTED_LOSSES,
    }
)

COORDINATION_GUARANTEES = frozenset(
    {
        Guarantee.LINEARIZABLE_READS,
        Guarantee.ATOMIC_TRANSACTIONS,
        Guarantee.ATOMIC_RECURSIVE_DELETE,
        Guarantee.EXPIRING_SESSIONS,
        Guarantee.FENCING_TOKENS,
    }
)

COORDINATION_LIMITS = Limits(
    value_bytes=MAX_VALUE_BYTES, transaction_operations=MAX_OPERATIONS, path_bytes=MAX_PATH_BYTES
)


class MemoryDatabaseOptions(DatabaseOptions, frozen=True, kw_only=True):
    """Options of the memory configuration database: those that every one has."""


class MemoryBrokerOptions(BrokerOptions, frozen=True, kw_only=True):
    """Options of the memory message broker: those that every one has."""


class MemoryCoordinationOptions(CoordinationOptions, frozen=True, kw_only=True):
    """Options of the memory coordination service."""

    watch_history: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """So many of the last events are kept for ``watch(since=)``: the most that an opener asks."""
