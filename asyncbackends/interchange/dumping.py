"""Writes a whole database as records of our own form, in one order, in bounded memory."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final

from asyncbackends.interchange.ordering import type_groups
from asyncbackends.interchange.record_reading import (
    TOGETHER,
    RecordReader,
    SharedWith,
    shared_with,
)
from asyncbackends.interchange.records import (
    FORMAT,
    VERSION,
    EndRecord,
    Header,
    ObjectRecord,
    Record,
    RowRecord,
    ShareRecord,
    canonical,
)
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import ConfigObject
from asyncbackends.schema import Schema

__all__ = ("Dumper", "count_objects")

PAGE: Final = 200


async def count_objects(database: ConfigDatabase) -> int:
    """Count the objects of all types."""
    return sum([await database.object_list(name, count=True) for name in database.schema.types])


class Dumper:
    """Dumps one database."""

    def __init__(self, database: ConfigDatabase, *, tables: Sequence[str] = ()) -> None:
        """Make a dumper.

        :param tables: key-value tables to include; a database cannot list their names.
        """
        self._database = database
        self._schema: Schema = database.schema
        self._tables = sorted(set(tables))
        self._shared_with: set[SharedWith] = set()
        self._reader = RecordReader(database)
        self.objects = 0
        self.moved = False
        """Whether somebody wrote to the database during the dump: it is not one state then."""

    async def records(self) -> AsyncIterator[Header | Record]:
        """Give the header and all records.

        Types come with parents before children, objects of a type by uuid; so equal databases
        give equal records, but for the header's revision.
        """
        revision = await self._database.current_revision()
        yield Header(FORMAT, VERSION, self._schema.to_dict(), revision)
        for group in type_groups(self._schema):
            first, *others = group
            if others or first in self._schema.types[first].parents:
                async for record in self._levels(group):
                    yield record
            else:
                async for record in self._objects(first, lambda _: True):
                    yield record
        async for share in self._shares():
            yield share
        for table in self._tables:
            async for row in self._rows(table):
                yield row
        yield EndRecord(self.objects)
        self.moved = await self._database.current_revision() != revision

    async def _levels(self, group: tuple[str, ...]) -> AsyncIterator[ObjectRecord]:
        """Give objects that can be their type's own ancestors: level by level.

        Only the uuids of one level are held.
        """
        level: list[str] = []
        for name in group:
            roots = await self._roots(name, group)
            async for record in self._objects(name, roots.__contains__):
                level.append(record.uuid)
                yield record
        while level:
            below: list[str] = []
            for name in group:
                for parents in _chunks(sorted(level)):
                    async for record in self._objects(name, lambda _: True, parents):
                        below.append(record.uuid)
                        yield record
            level = below

    async def _roots(self, name: str, group: tuple[str, ...]) -> set[str]:
        """Find the objects whose parent is none of the group's, or is gone."""
        roots: set[str] = set()
        page: dict[str, str] = {}
        async for found in self._database.object_iter(name, field_names=[], page=PAGE):
            if found.get("parent_type") in group:
                page[found["uuid"]] = found["parent_uuid"]
                if len(page) == PAGE:
                    roots |= await self._orphans(page)
                    page.clear()
            else:
                roots.add(found["uuid"])
        return roots | await self._orphans(page)

    async def _orphans(self, parents: dict[str, str]) -> set[str]:
        there = await self._database.uuids_to_fq_names(sorted(set(parents.values())))
        return {child for child, parent in parents.items() if parent not in there}

    async def _objects(
        self,
        name: str,
        wanted: Callable[[str], bool],
        parents: Sequence[str] | None = None,
    ) -> AsyncIterator[ObjectRecord]:
        chunk: list[ConfigObject] = []
        async for found in self._database.object_iter(name, parents, page=PAGE):
            if wanted(found["uuid"]):
                chunk.append(found)
            if len(chunk) == TOGETHER:
                for record in await self._completed(name, chunk):
                    yield record
                chunk.clear()
        for record in await self._completed(name, chunk):
            yield record

    async def _completed(self, name: str, found: Iterable[ConfigObject]) -> list[ObjectRecord]:
        records = await self._reader.records(name, found)
        self.objects += len(records)
        for record in records:
            self._shared_with |= shared_with(record)
        return records

    async def _shares(self) -> AsyncIterator[ShareRecord]:
        holders = self._shared_with | {(name, "global", "") for name in self._schema.types}
        for name, share_type, share_id in sorted(holders):
            for uuid, rwx in await self._database.get_shared(name, share_id, share_type):
                yield ShareRecord(name, uuid, share_type, share_id, rwx)

    async def _rows(self, table: str) -> AsyncIterator[RowRecord]:
        marker: str | None = None
        while True:
            page = await self._database.kv_list(table, marker=marker, limit=PAGE)
            for key, columns in page:
                yield RowRecord(table, key, canonical(columns))
            marker = page.marker
            if marker is None:
                return


def _chunks(uuids: Sequence[str]) -> list[Sequence[str]]:
    return [uuids[at : at + PAGE] for at in range(0, len(uuids), PAGE)]
