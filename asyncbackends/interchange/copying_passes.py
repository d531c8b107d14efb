"""Goes once over all objects: takes away, creates, links. What is equal already is left alone."""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Final

from asyncbackends.interchange.copying_objects import CHUNK, Mirror
from asyncbackends.interchange.copying_sides import Pair, Side, Told
from asyncbackends.interchange.copying_streams import flown
from asyncbackends.interchange.ordering import type_groups
from asyncbackends.interchange.record_reading import plain_record
from asyncbackends.interchange.records import ObjectRecord
from asyncbackends.protocols.values import ObjectPage
from asyncbackends.schema import Schema

__all__ = ("Passes", "id_pages")

IDS: Final = 500


class Passes:
    """Passes over the objects of both sides, in bounded memory."""

    def __init__(self, source: Side, target: Side, mirror: Mirror, told: Told) -> None:
        self._source = source
        self._target = target
        self._mirror = mirror
        self._told = told
        self._relaxed: list[Pair] = []

    async def copy(self) -> None:
        """Make all objects equal, as they are when their page is read."""
        await self._take_away()
        await self._objects()
        await self._refs()
        await self._mirror.links.relaxed(self._relaxed)

    async def count(self) -> int:
        """Count the source's objects."""
        return sum(
            [
                await self._source.ask(partial(_count, self._source, name))
                for name in self._source.database.schema.types
            ]
        )

    async def _take_away(self) -> None:
        """Delete what only the target has: its names may be needed."""
        looked_at = 0
        for name in reversed(_parents_first(self._target.database.schema)):
            async for uuids in id_pages(self._target, name):
                pairs = [(name, uuid) for uuid in uuids]
                known = await self._source.existing(pairs)
                await self._mirror.equalise(pair for pair in pairs if pair not in known)
                looked_at += len(uuids)
                self._told.progress("objects of the target", looked_at)

    async def _objects(self) -> None:
        total, done = await self.count(), 0
        self._relaxed.clear()

        async def work(pairs: list[Pair]) -> None:
            nonlocal done
            wanted = await self._source.read(pairs, relaxed=True)
            self._relaxed += [pair for pair, record in wanted.items() if record.relaxed_by]
            again = await self._mirror.objects(wanted, await self._target.read(pairs))
            if again:
                await self._mirror.equalise(again)
            done += len(pairs)
            self._told.progress("objects", done, max(done, total))

        # Types one after the other: so the parents are there, and few are looked for.
        for name in _parents_first(self._source.database.schema):
            await flown(_chunks(self._source, name), work)

    async def _refs(self) -> None:
        done = 0
        types = self._source.database.schema.types

        async def work(pairs: list[Pair]) -> None:
            nonlocal done
            wanted = await self._plain(self._source, pairs)
            there = await self._plain(self._target, pairs)
            linkable = {pair: record for pair, record in wanted.items() if pair in there}
            again = await self._mirror.links.refs(linkable, there)
            if again:
                await self._mirror.equalise(again)
            done += len(pairs)
            self._told.progress("refs of objects", done)

        for name in _parents_first(self._source.database.schema):
            if types[name].refs:
                await flown(_chunks(self._source, name), work)

    async def _plain(self, side: Side, pairs: Sequence[Pair]) -> dict[Pair, ObjectRecord]:
        """Read the refs of objects of one type."""
        name, uuids = pairs[0][0], [uuid for _, uuid in pairs]
        object_type = side.database.schema.types[name]
        fields = [f"{target}_refs" for target in object_type.refs]
        read = partial(side.database.object_read, name, uuids, fields, missing="skip")
        found = await side.ask(read)
        return {(name, each["uuid"]): plain_record(name, each, object_type) for each in found}


async def id_pages(side: Side, name: str) -> AsyncIterator[list[str]]:
    """Give the uuids of a type's objects in order, page by page."""
    marker: str | None = None
    while True:
        page = await side.ask(partial(_id_page, side, name, marker))
        if page.items:
            yield [uuid for _, uuid in page]
        marker = page.marker
        if marker is None:
            return


async def _id_page(side: Side, name: str, marker: str | None) -> ObjectPage[tuple[list[str], str]]:
    return await side.database.object_list(name, marker=marker, limit=IDS)


async def _count(side: Side, name: str) -> int:
    return await side.database.object_list(name, count=True)


async def _chunks(side: Side, name: str) -> AsyncIterator[list[Pair]]:
    async for uuids in id_pages(side, name):
        for at in range(0, len(uuids), CHUNK):
            yield [(name, uuid) for uuid in uuids[at : at + CHUNK]]


def _parents_first(schema: Schema) -> list[str]:
    return [name for group in type_groups(schema) for name in group]
