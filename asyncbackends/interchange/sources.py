"""A dump of either family, from the first look at it to records that can be loaded."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from asyncbackends.errors import InvalidRequestError
from asyncbackends.interchange.column_forms import ColumnDump
from asyncbackends.interchange.converting import Converter
from asyncbackends.interchange.files import DumpFile, RecordFile, Spool
from asyncbackends.interchange.findings import Findings
from asyncbackends.interchange.inferring import Inferred
from asyncbackends.interchange.records import Record
from asyncbackends.interchange.reverse_links import compare_links, compare_names, read_names
from asyncbackends.interchange.scanning import Index, scan
from asyncbackends.interchange.side_tables import side_records
from asyncbackends.object_model.values import canonical_id
from asyncbackends.schema import Schema

__all__ = ("ColumnSource", "OwnSource", "Source", "open_source")


class Source(Protocol):
    """What a load asks of a dump, whatever its form."""

    form: str
    named_by_line: bool
    schema: Schema
    """The schema that the dump carries, or that was inferred from it."""
    schema_is_inferred: bool
    skip: frozenset[int]
    """Lines that are known as damaged."""
    types: dict[str, str]
    """The type of every object that the dump has, by uuid."""

    def read(self) -> Iterator[object]:
        """Look at the whole dump, step by step; nothing else may be asked before.

        :raises InvalidRequestError: it is cut off, not JSON, or of no known form.
        """
        ...

    def strangers(self) -> set[str]:
        """Give the ids that links lead to and that are no object of the dump, where it matters."""
        ...

    def convert(self, schema: Schema, present: Mapping[str, str], spool: Spool) -> Iterator[object]:
        """Make records for a schema, step by step.

        :param present: the type of each stranger that stands in the database.
        """
        ...

    def records(self) -> RecordFile:
        """Give the records, once they are made."""
        ...


class OwnSource:
    """A dump in our own form: it is loaded from where it stands."""

    form = "our own form"
    named_by_line = True
    schema_is_inferred = False

    def __init__(self, dump: DumpFile, findings: Findings) -> None:
        self._file, self.schema = dump.own()
        self._findings = findings
        self.skip: frozenset[int] = frozenset()
        self.types: dict[str, str] = {}

    def read(self) -> Iterator[object]:
        """Check every line; the second of two objects with one id is damage."""
        skip: set[int] = set()
        types = {name: name for name in self.schema.types}
        for line, record in self._file.check():
            try:
                uuid = canonical_id(record.uuid)
            except InvalidRequestError:
                uuid = ""  # the load says so
            if uuid in self.types:
                skip.add(line)
                row = f"line {line}, {record.type} {record.uuid}"
                self._findings.damage(row, "uuid", "an earlier line has the same uuid")
            elif uuid:
                # One text for all objects of a type.
                self.types[uuid] = types.setdefault(record.type, record.type)
            yield line
        self.skip = frozenset(skip)

    def strangers(self) -> set[str]:
        """Ask for nothing: the database refuses links that lead nowhere."""
        return set()

    def convert(self, schema: Schema, present: Mapping[str, str], spool: Spool) -> Iterator[object]:
        """Do nothing: they are records."""
        return iter(())

    def records(self) -> RecordFile:
        """Give the file itself."""
        return self._file


class ColumnSource:
    """A dump in one of OpenContrail's forms: its records go into a temporary file."""

    named_by_line = False
    schema_is_inferred = True
    skip: frozenset[int] = frozenset()

    def __init__(self, dump: DumpFile, findings: Findings) -> None:
        self._dump: ColumnDump = dump.columns(findings)
        self._name = dump.name
        self.form = self._dump.form
        self._findings = findings
        self._index = Index()
        self._inferred = Inferred(Schema(), {})
        self._file: RecordFile | None = None
        self.schema = Schema()
        self.types: dict[str, str] = {}

    def read(self) -> Iterator[object]:
        """Look at every row, hold both ends of the links against each other, infer the schema."""
        index = self._index
        named = read_names(self._dump, self._findings)
        yield from scan(self._dump, named, self._findings, index)
        compare_names(named, index, self._findings)
        compare_links(named, index, self._findings)
        index.forget_reverse_links()
        self._inferred = index.sketch.infer()
        self.schema = self._inferred.schema

    def strangers(self) -> set[str]:
        """Give parents and targets of refs without a row."""
        return self._index.strangers()

    def convert(self, schema: Schema, present: Mapping[str, str], spool: Spool) -> Iterator[object]:
        """Convert the rows, parents first, then what stands beside them."""
        converter = Converter(
            self._dump,
            self._index,
            schema,
            self._findings,
            dropped=self._inferred.dropped,
            present=present,
        )
        order = converter.order()
        self.types = {uuid: self._index.entries[uuid].obj_type for uuid in order}

        def records() -> Iterator[Record]:
            yield from converter.records(order)
            yield from side_records(self._dump, self.types, self._findings)

        yield from spool.put(records())
        self._file = spool.records(self._name, len(order))

    def records(self) -> RecordFile:
        """Give the temporary file."""
        if self._file is None:
            message = "convert() makes the records first"
            raise InvalidRequestError(message)
        return self._file


def open_source(dump: DumpFile, findings: Findings) -> Source:
    """Tell the form of a dump.

    :raises InvalidRequestError: it is of none.
    """
    return OwnSource(dump, findings) if dump.is_own else ColumnSource(dump, findings)
