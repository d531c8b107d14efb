"""Writes many small writes as one unit; what is refused stays out alone."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from asyncbackends.batch import Batch
from asyncbackends.errors import (
    AlreadyExistsError,
    BackendError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    TransactionFailedError,
    WriteContentionError,
)
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.guarantees import Guarantee

__all__ = ("REFUSALS", "Units", "cause")

ATTEMPTS: Final = 8
PAUSE: Final = 0.05

REFUSALS = (AlreadyExistsError, ConflictError, InvalidRequestError, NotFoundError)

ItemT = TypeVar("ItemT")


class Units:
    """Sends units to one database."""

    def __init__(self, database: ConfigDatabase) -> None:
        self._database = database
        self._atomic = Guarantee.ATOMIC_BATCH in database.guarantees

    async def write(
        self, items: Sequence[ItemT], queue: Callable[[Batch, ItemT], None]
    ) -> list[tuple[ItemT, BackendError]]:
        """Write items as one unit if they can be, else one by one; gives those that were refused.

        :param queue: puts the writes of one item into a batch.
        """
        if self._atomic and len(items) > 1:
            try:
                await self._commit(items, queue)
            except REFUSALS as error:
                _raise_contention(error)
            else:
                return []
        refused: list[tuple[ItemT, BackendError]] = []
        for item in items:
            try:
                await self._commit([item], queue)
            except REFUSALS as error:
                _raise_contention(error)
                refused.append((item, error))
        return refused

    async def _commit(self, items: Sequence[ItemT], queue: Callable[[Batch, ItemT], None]) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._database.batch() as unit:
                    for item in items:
                        queue(unit, item)
            except ConflictError as error:
                if attempt == ATTEMPTS or not isinstance(cause(error), WriteContentionError):
                    raise
                await asyncio.sleep(PAUSE * attempt)
            else:
                return


def cause(error: BackendError) -> BackendError:
    """Give what a unit was refused for."""
    return error.error if isinstance(error, TransactionFailedError) else error


def _raise_contention(error: BackendError) -> None:
    """A database that is too busy is no fault of the object."""
    if isinstance(cause(error), WriteContentionError):
        raise error
