"""What the sqlite engine is configured with and what it promises."""

from typing import Annotated, Literal

import msgspec

from asyncbackends.options import DatabaseOptions, Seconds
from asyncbackends.protocols.guarantees import STRICT_ONLY, Guarantee

__all__ = ("DATABASE_GUARANTEES", "IN_MEMORY", "SqliteDatabaseOptions", "held_guarantees")

IN_MEMORY = ":memory:"

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
        Guarantee.SHARED_BETWEEN_PROCESSES,
        Guarantee.SURVIVES_PROCESS_KILL,
    }
)


class SqliteDatabaseOptions(DatabaseOptions, frozen=True, kw_only=True):
    """Options of the sqlite configuration database."""

    synchronous: Literal["normal", "full"] = "normal"
    """full waits for the disk at every commit: acknowledged writes survive a loss of power."""
    readers: Annotated[int, msgspec.Meta(ge=1, le=16)] = 2
    """At most so many threads read, each on its own connection; started as they are needed."""
    poll_interval: Seconds = 0.1
    """Seconds between looks for other processes' writes, while somebody watches."""


def held_guarantees(path: str, options: SqliteDatabaseOptions) -> frozenset[Guarantee]:
    """Give what holds for a database opened with these options."""
    held = set(DATABASE_GUARANTEES)
    if options.integrity == "legacy":
        held -= STRICT_ONLY
    if path == IN_MEMORY:
        held -= {Guarantee.SHARED_BETWEEN_PROCESSES, Guarantee.SURVIVES_PROCESS_KILL}
    elif options.synchronous == "full":
        held.add(Guarantee.SURVIVES_POWER_LOSS)
    return frozenset(held)
