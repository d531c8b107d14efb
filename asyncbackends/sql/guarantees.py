"""What every engine that speaks SQL promises, whatever its server."""

from typing import Final

from asyncbackends.protocols.guarantees import Guarantee

__all__ = ("SQL_GUARANTEES",)

SQL_GUARANTEES: Final = frozenset(
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
        Guarantee.SHARED_BETWEEN_PROCESSES,
        Guarantee.SURVIVES_PROCESS_KILL,
    }
)
"""An adapter's ``Engine.guarantees``; an open backend adds what its server adds."""
