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

    ORDERED_PER_PUBLISHER = "ordered_per_publisher"
    """First deliveries of one publisher's messages to one exchange are in the order of publishing."""
    REDELIVERS_UNACKED = "redelivers_unacked"
    """A delivery that was not acked comes again, to another consumer too, when its link is gone."""
    SERVER_DEDUPE = "server_dedupe"
    """Publishing a message id again within the dedupe window stores nothing."""
    EXACT_DELIVERY_COUNT = "exact_delivery_count"
    """``delivery_count`` is exact, not a lower bound."""
    MANDATORY_EXACT = "mandatory_exact"
    """A ``mandatory`` message raises UnroutableError if, and only if, no queue took it."""
    DIRECT_ROUTING = "direct_routing"
    """Exchanges of kind ``direct`` pass a message to the queues bound with its routing key alone."""
    BOUNDED_QUEUES = "bounded_queues"
    """``max_length`` is kept; elsewhere it is refused with NotSupportedError."""
    DETECTED_LOSSES = "detected_losses"
    """Messages that a queue of a fanout exchange lost while it goes on are a Gap."""

    LINEARIZABLE_READS = "linearizable_reads"
    """A read sees every write that anybody was told of before the read began."""
    ATOMIC_TRANSACTIONS = "atomic_transactions"
    """A transaction over several nodes is applied as a whole or not at all."""
    ATOMIC_RECURSIVE_DELETE = "atomic_recursive_delete"
    """A recursive delete takes a node and all below it away at once."""
    EXPIRING_SESSIONS = "expiring_sessions"
    """The ephemeral nodes of a client that is gone vanish when its session has expired."""
    FENCING_TOKENS = "fencing_tokens"
    """The order of a contender is higher than that of every one before it on the path."""

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
    """One property, element, ref attribute or stored value, as JSON; the value of one node."""
    object_bytes: int | None = None
    """All properties, elements and refs of one object, as JSON."""
    message_bytes: int | None = None
    """The body of a message and its headers."""
    batch_operations: int | None = None
    transaction_operations: int | None = None
    fq_name_bytes: int = 1024
    path_bytes: int | None = None
