"""Batches side by side, a bounded number at a time, children never before their parents."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import msgspec

from asyncbackends.interchange.records import ObjectRecord
from asyncbackends.interchange.stepping import batches, first_error

__all__ = ("Flights", "Item", "Progress")

IN_FLIGHT: Final = 4

Progress = Callable[[str, int, int | None], None]
"""Is told what is being done, how many of it are done, and of how many if that is known."""


class Item(msgspec.Struct):
    """An object of a dump on its way into a database."""

    number: int
    """Which object of the dump it is."""
    line: int
    uuid: str
    record: ObjectRecord

    @property
    def parent(self) -> str | None:
        """The parent's uuid; "" for a parent that only has a name."""
        uuid = self.record.object.get("parent_uuid")
        if uuid is None:
            return "" if self.record.object.get("parent_type") is not None else None
        return str(uuid).lower()


class Flights:
    """Sends batches of items off."""

    def __init__(self, size: int, progress: Progress) -> None:
        self._size = size
        self._progress = progress
        self._flying: dict[str, asyncio.Task[None]] = {}

    async def send(
        self,
        what: str,
        items: Iterator[Item],
        write: Callable[[list[Item]], Awaitable[None]],
        *,
        total: int | None = None,
        in_families: bool = False,
    ) -> None:
        """Write all items; the first error that ``write`` raises ends it.

        :param what: names the work to the progress, with the total of items where it is known.
        :param in_families: no batch overtakes one that a parent is in.
        """
        room = asyncio.Semaphore(IN_FLIGHT)
        done = 0

        async def fly(batch: list[Item]) -> None:
            nonlocal done
            try:
                await write(batch)
            finally:
                room.release()
            for item in batch:
                self._flying.pop(item.uuid, None)
            done += len(batch)
            self._progress(what, done, total)

        self._progress(what, done, total)
        self._flying.clear()
        try:
            async with asyncio.TaskGroup() as group:
                async for batch in batches(items, self._size):
                    await room.acquire()
                    if in_families and (parents := self._parents(batch)):
                        await asyncio.wait(parents)
                    task = group.create_task(fly(batch))
                    self._flying |= {item.uuid: task for item in batch}
        except BaseExceptionGroup as failures:
            raise first_error(failures) from None

    def _parents(self, batch: list[Item]) -> set[asyncio.Task[None]]:
        """Give the flights that the batch must not overtake."""
        parents = {item.parent for item in batch}
        if "" in parents:
            return {*self._flying.values()}
        return {self._flying[uuid] for uuid in parents if uuid in self._flying}
