"""The contract of the configuration database: the narrow Protocols together, batches and watch."""

from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from asyncbackends.batch import Batch
from asyncbackends.protocols.backend import Backend
from asyncbackends.protocols.key_values import Freshness, SupportsKeyValue, UseragentKeyValue
from asyncbackends.protocols.objects import Objects
from asyncbackends.protocols.relations import FqNames, PropertyCollections, References, Sharing
from asyncbackends.protocols.values import Change, Fence, Gap
from asyncbackends.schema import Schema

__all__ = ("Batches", "ConfigDatabase", "Watchable")


class Batches(Protocol):
    """Several writes as one."""

    def batch(self, *, fence: Fence | None = None) -> AbstractAsyncContextManager[Batch]:
        """Collect writes in the block and send them at its end as one atomic unit.

        Leaving the block by an exception sends nothing. There are no reads inside. Without
        ATOMIC_BATCH a batch takes operations on one object alone and raises NotSupportedError at
        the second object: nobody gets a weaker unit unasked.

        :param fence: one fence for all of it.
        :raises TransactionFailedError: at the end of the block: the operation at ``index`` was
            refused with ``error``; nothing was written.
        :raises StaleFenceError: at the end of the block: itself, not wrapped.
        """
        ...


class Watchable(Protocol):
    """The feed of changes."""

    def watch(
        self, types: Collection[str] | None = None, since: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Change | Gap]]:
        """Follow the changes of objects after ``since``, or after the block was entered.

        The events of one object are in order and none is lost; where some may be, a Gap stands
        between the events. With ORDERED_WATCH the events of all objects are in one order without
        repeats. Resume with the ``revision`` of the last event. The last ``watch_history``
        changes are kept.

        :param types: only objects of these types.
        :raises CompactedError: on entering, the changes after ``since`` are no longer all kept.
        :raises InvalidRequestError: on entering, ``since`` is ahead of this database: it was
            restored from a backup, or the number is another database's.
        """
        ...

    async def current_revision(self) -> int:
        """Give the revision of the last committed write, 0 in a new database."""
        ...


class ConfigDatabase(
    Objects,
    PropertyCollections,
    FqNames,
    References,
    Sharing,
    UseragentKeyValue,
    Freshness,
    SupportsKeyValue,
    Batches,
    Watchable,
    Backend,
    Protocol,
):
    """A database of configuration objects with parents, references, collections, names and shares.

    A function that needs less asks for the narrower Protocol.
    """

    @property
    def schema(self) -> Schema:
        """The schema in force: the stored one, or the one given at open if that is a superset."""
        ...

    async def set_schema(self, schema: Schema) -> None:
        """Store a schema: the first one, the same, or a superset of the stored one.

        :raises ConfigurationError: any other difference, naming type and field.
        """
        ...
