"""The two ends of a copy, and the patience with their links."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal, NoReturn, Protocol, TypeAlias, TypeVar

from asyncbackends.errors import BackendError, WriteContentionError
from asyncbackends.interchange.record_reading import RecordReader, SharedWith, shared_with
from asyncbackends.interchange.records import ObjectRecord
from asyncbackends.interchange.units import REFUSALS, Units, cause
from asyncbackends.protocols.config_database import ConfigDatabase

__all__ = ("PATIENCE", "Outage", "Pair", "Side", "Told", "by_type")

PATIENCE: Final = 300.0
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0

ResultT = TypeVar("ResultT")

Pair: TypeAlias = tuple[str, str]
"""A type and a uuid."""


class Told(Protocol):
    """Whoever is told how a copy goes on."""

    def progress(self, what: str, done: int, total: int | None = None) -> None:
        """Hear how far something is."""
        ...

    def event(self, name: str, text: str, **data: Any) -> None:
        """Hear what happened: for machines by name and data, for people as text."""
        ...


class Side:
    """One database of the two; every call to it waits for a link that comes back."""

    def __init__(
        self,
        role: Literal["source", "target"],
        database: ConfigDatabase,
        label: str,
        told: Told,
        *,
        patience: float = PATIENCE,
    ) -> None:
        """Make a side.

        :param label: what it is called beside its role, such as its engine and endpoints.
        :param patience: for so many seconds without an answer calls are made again.
        """
        self.role = role
        self.database = database
        self.label = label
        self.units = Units(database)
        self.shared_with: set[SharedWith] = set()
        """With whom the objects that were read say they are shared."""
        self._told = told
        self._patience = patience
        self._reader = RecordReader(database)

    def __str__(self) -> str:
        return f"the {self.role} ({self.label})"

    async def ask(self, call: Callable[[], Coroutine[Any, Any, ResultT]]) -> ResultT:
        """Make a call that may be repeated, until it is answered; refusals are raised as they are.

        :raises BackendError: naming the side: the patience is over, or waiting is no cure.
        """
        outage = self.outage()
        while True:
            try:
                return await call()
            except BackendError as error:
                await outage.endure(error)

    def outage(self) -> "Outage":
        """Give what keeps count of failures in a row."""
        return Outage(self, self._patience, self._told)

    def is_referred(self, obj_type: str) -> bool:
        """Say whether there can be refs to objects of a type."""
        return self._reader.is_referred(obj_type)

    async def read(
        self, pairs: Sequence[Pair], *, relaxed: bool = False
    ) -> dict[Pair, ObjectRecord]:
        """Read objects as records; absent ones, and those of unknown types, are absent keys."""
        records: dict[Pair, ObjectRecord] = {}
        for obj_type, uuids in by_type(pairs).items():
            if obj_type in self.database.schema.types:
                found = await self.ask(partial(self._read, obj_type, uuids, relaxed))
                for record in found:
                    records[obj_type, record.uuid] = record
                    self.shared_with |= shared_with(record)
        return records

    async def _read(self, obj_type: str, uuids: list[str], relaxed: bool) -> list[ObjectRecord]:
        found = await self.database.object_read(obj_type, uuids, missing="skip")
        return await self._reader.records(obj_type, found, relaxed=relaxed)

    async def existing(self, pairs: Sequence[Pair]) -> set[Pair]:
        """Say which of these objects there are."""
        found: set[Pair] = set()
        for obj_type, uuids in by_type(pairs).items():
            if obj_type in self.database.schema.types:
                read = partial(self.database.object_read, obj_type, uuids, [], missing="skip")
                found |= {(obj_type, each["uuid"]) for each in await self.ask(read)}
        return found


class Outage:
    """Waits after failures in a row, longer each time, until the patience is over."""

    def __init__(self, side: Side, patience: float, told: Told) -> None:
        self._side = side
        self._patience = patience
        self._told = told
        self._began: float | None = None
        self._pause = FIRST_PAUSE

    def over(self) -> None:
        """Hear that there was an answer."""
        self._began, self._pause = None, FIRST_PAUSE

    async def endure(self, error: BackendError) -> None:
        """Wait before another try, or raise the error, naming the side."""
        if isinstance(error, REFUSALS) and not isinstance(cause(error), WriteContentionError):
            raise error
        now = asyncio.get_running_loop().time()
        if self._began is None:
            self._began = now
        if not cause(error).retryable or now - self._began >= self._patience:
            self._give_up(error, now - self._began)
        text = f"{self._side} does not answer, trying again: {error}"
        self._told.event("waiting", text, side=self._side.role, error=str(error))
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _give_up(self, error: BackendError, seconds: float) -> NoReturn:
        if not str(error).startswith(str(self._side)):
            since = f" (for {seconds:.0f} s)" if seconds >= 1 else ""
            error.args = (f"{self._side}: {error}{since}",)
        raise error


def by_type(pairs: Sequence[Pair]) -> Mapping[str, list[str]]:
    """Give the uuids of each type, in order."""
    uuids: dict[str, list[str]] = {}
    for obj_type, uuid in pairs:
        uuids.setdefault(obj_type, []).append(uuid)
    return uuids
