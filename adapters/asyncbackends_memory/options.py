"""What the memory engine is configured with and what it promises."""

from asyncbackends.options import DatabaseOptions
from asyncbackends.protocols.guarantees import Guarantee

__all__ = ("DATABASE_GUARANTEES", "MemoryDatabaseOptions")

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


class MemoryDatabaseOptions(DatabaseOptions, frozen=True, kw_only=True):
    """Options of the memory configuration database: those that every one has."""
