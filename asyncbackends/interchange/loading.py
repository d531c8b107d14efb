"""Puts the records of a dump into a database, so that loading again changes nothing.

Objects come first, without refs, then their refs, then what stands beside them. Reading,
comparing and writing go in batches, a bounded number of them in flight; a batch that is refused
is written again object by object, so that only what is at fault stays out.
"""

from collections.abc import Iterator
from typing import Final

from asyncbackends.errors import InvalidRequestError, NotFoundError
from asyncbackends.interchange.files import RecordFile
from asyncbackends.interchange.findings import Findings
from asyncbackends.interchange.flights import Flights, Item, Progress
from asyncbackends.interchange.object_writing import (
    NEW,
    OTHER_REFS,
    REFUSED,
    ObjectWriter,
    Summary,
)
from asyncbackends.interchange.records import (
    ObjectRecord,
    RowRecord,
    ShareRecord,
    TextRecord,
)
from asyncbackends.interchange.stepping import batches
from asyncbackends.interchange.units import REFUSALS
from asyncbackends.object_model.values import canonical_id
from asyncbackends.protocols.config_database import ConfigDatabase

__all__ = ("Loader",)

BATCH: Final = 200

SideRecord = ShareRecord | RowRecord | TextRecord


class Loader:
    """Loads one file of records into one database."""

    def __init__(
        self,
        database: ConfigDatabase,
        file: RecordFile,
        findings: Findings,
        progress: Progress,
        *,
        named_by_line: bool,
        skip: frozenset[int] = frozenset(),
    ) -> None:
        """Make a loader.

        :param named_by_line: damage is named by its line too, not only by type and uuid.
        :param skip: lines that are known as damaged.
        """
        self._database = database
        self._file = file
        self._findings = findings
        self._named_by_line = named_by_line
        self._skip = skip
        self._writer = ObjectWriter(database, findings, self._where)
        limit = database.limits.batch_operations
        # A create may take a second operation for its lists.
        size = BATCH if limit is None else max(1, min(BATCH, limit // 2))
        self._flights = Flights(size, progress)
        self._progress = progress

    async def load(self) -> Summary:
        """Load everything; what is refused becomes damage."""
        writer, states = self._writer, self._writer.states
        relaxed: set[int] = set()

        def first() -> Iterator[Item]:
            for item in self._items():
                if item.record.relaxed_by:
                    relaxed.add(item.number)
                yield item

        await self._flights.send(
            "objects", first(), writer.write_objects, total=self._file.objects, in_families=True
        )
        linked = (item for item in self._items() if states[item.number] in {NEW, OTHER_REFS})
        await self._flights.send("refs", linked, writer.write_refs)
        if relaxed:
            targets = (item for item in self._items() if item.number in relaxed)
            await self._flights.send("relaxed refs", targets, self._relax, total=len(relaxed))
        await self._load_side_records()
        return writer.summary

    def _where(self, item: Item) -> str:
        line = f"line {item.line}, " if self._named_by_line else ""
        return f"{line}{item.record.type} {item.uuid}"

    def _items(self) -> Iterator[Item]:
        """Give the objects of the file that were not refused."""
        states, number = self._writer.states, -1
        for line, record in self._file.records():
            if not isinstance(record, ObjectRecord) or line in self._skip:
                continue
            number += 1
            if number == len(states):
                states.append(NEW)
            if states[number] == REFUSED:
                continue
            item = Item(number, line, record.uuid, record)
            try:
                item.uuid = canonical_id(record.uuid)
            except InvalidRequestError as error:
                self._writer.refuse(item, "uuid", str(error))
                continue
            if record.type in self._database.schema.types:
                yield item
            else:
                self._writer.refuse(item, "type", f"the schema has no type {record.type!r}")

    async def _relax(self, batch: list[Item]) -> None:
        for item in batch:
            for holder in item.record.relaxed_by:
                try:
                    await self._database.ref_relax_for_delete(holder, item.uuid)
                except (NotFoundError, InvalidRequestError) as error:
                    self._findings.damage(self._where(item), "relaxed_by", str(error))

    async def _load_side_records(self) -> None:
        side = (
            (line, record)
            for line, record in self._file.records()
            if isinstance(record, ShareRecord | RowRecord | TextRecord)
        )
        done = 0
        async for batch in batches(side, BATCH):
            for line, record in batch:
                await self._load_side_record(line, record)
            done += len(batch)
            self._progress("shares, rows and texts", done, None)

    async def _load_side_record(self, line: int, record: SideRecord) -> None:
        database, summary = self._database, self._writer.summary
        try:
            if isinstance(record, ShareRecord):
                await database.set_shared(
                    record.type, record.uuid, record.share_id, record.share_type, record.rwx
                )
                summary.shares += 1
            elif isinstance(record, TextRecord):
                await database.useragent_kv_store(record.key, record.value)
                summary.texts += 1
            else:
                await self._load_row(record)
                summary.rows += 1
        except REFUSALS as error:
            where = f"line {line}, " if self._named_by_line else ""
            self._findings.damage(f"{where}{_side_name(record)}", "", str(error))

    async def _load_row(self, record: RowRecord) -> None:
        """Write a row unless it is there: each write of one takes a revision."""
        try:
            there = await self._database.kv_get(record.table, record.key)
        except NotFoundError:
            there = {}
        if any(name not in there or there[name] != value for name, value in record.columns.items()):
            await self._database.kv_put(record.table, record.key, record.columns)


def _side_name(record: SideRecord) -> str:
    if isinstance(record, ShareRecord):
        return f"the share of {record.type} {record.uuid}"
    if isinstance(record, TextRecord):
        return f"the useragent text {record.key}"
    return f"{record.table}, {record.key}"
