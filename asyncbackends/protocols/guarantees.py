"""What an engine promises, as data that can be read without connecting."""

import enum

import msgspec

__all__ = ("STRICT_ONLY", "Guarantee", "Limits")


class Guarantee(enum.StrEnum):
    """A promise that each engine either declares or does not; every one has a conformance test."""

    ATOMIC_WRITES = "atomic_writes"
    """A write is there as a whole or not at all, also after a crash."""
    UNIQUE_NAMES = "unique_names"
    """Two objects of a type never have the same fq_name."""
    ENFORCED_REFERENCES = "enforced_references"
    """A parent or a referenced object can neither be missing at a write nor vanish after it."""
    READ_YOUR_WRITES = "read_your_writes"
    """A read that starts after a write was acknowledged sees it."""
    SNAPSHOT_READS = "snapshot_reads"
    """An object with its back refs and children, and a page of a list, is one state."""
    ATOMIC_BATCH = "atomic_batch"
    """A batch over several objects is one atomic unit."""
    ORDERED_WATCH = "ordered_watch"
    """A watch gives one order over all objects, without repeats."""
    DATABASE_WIDE_REVISION = "database_wide_revision"
    """Revisions of different objects can be compared."""
    FENCED_WRITES = "fenced_writes"
    """A write with a stale fence is refused, whatever object it is for."""
    FENCED_PER_OBJECT = "fenced_per_object"
    """A write with a stale fence is refused if the object has seen a higher one."""

    SHARED_BETWEEN_PROCESSES = "shared_between_processes"
    """Several processes work on the same data."""
    SURVIVES_PROCESS_KILL = "survives_process_kill"
    """An acknowledged write survives the end of every client process, however it ended."""
    SURVIVES_POWER_LOSS = "survives_power_loss"
    """An acknowledged write survives the loss of power."""


STRICT_ONLY = frozenset({Guarantee.UNIQUE_NAMES, Guarantee.ENFORCED_REFERENCES})
"""Guarantees that a backend opened with ``integrity = legacy`` does not give."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine can take; None is no limit. Checked before anything is sent."""

    value_bytes: int | None = None
    """One property, element, ref attribute or stored value, as JSON."""
    object_bytes: int | None = None
    """All properties, elements and refs of one object, as JSON."""
    message_bytes: int | None = None
    batch_operations: int | None = None
    transaction_operations: int | None = None
    fq_name_bytes: int = 1024
    path_bytes: int | None = None
