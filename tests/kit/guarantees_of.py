"""Which guarantee is whose: the enum has those of every kind."""

from collections.abc import Mapping

from asyncbackends.protocols.backend import Kind
from asyncbackends.protocols.guarantees import Guarantee

__all__ = ("GUARANTEES_OF", "OF_ALL")

OF_ALL = frozenset(
    {
        Guarantee.SHARED_BETWEEN_PROCESSES,
        Guarantee.SURVIVES_PROCESS_KILL,
        Guarantee.SURVIVES_POWER_LOSS,
    }
)

_BROKER = frozenset(
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

_COORDINATION = frozenset(
    {
        Guarantee.LINEARIZABLE_READS,
        Guarantee.ATOMIC_TRANSACTIONS,
        Guarantee.ATOMIC_RECURSIVE_DELETE,
        Guarantee.EXPIRING_SESSIONS,
        Guarantee.FENCING_TOKENS,
    }
)

GUARANTEES_OF: Mapping[Kind, frozenset[Guarantee]] = {
    # A new one is the database's until it is said to be another's: no kit forgets it.
    Kind.CONFIG_DATABASE: frozenset(Guarantee) - _BROKER - _COORDINATION,
    Kind.MESSAGE_BROKER: _BROKER | OF_ALL,
    Kind.COORDINATION: _COORDINATION | OF_ALL,
}
