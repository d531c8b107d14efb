"""Dumps as files: opened, told apart, and read line by line as often as it takes."""

import mmap
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import msgspec

from asyncbackends.errors import ConfigurationError, InvalidRequestError
from asyncbackends.interchange.column_forms import ColumnDump, read_column_form, read_exim_form
from asyncbackends.interchange.findings import Findings
from asyncbackends.interchange.records import (
    EndRecord,
    ObjectRecord,
    Record,
    is_header,
    read_header,
    read_record,
    to_line,
)
from asyncbackends.schema import Schema

__all__ = ("DumpFile", "RecordFile", "Spool")

LONGEST_LINE: Final = 64 * 1024 * 1024
LONGEST_HEADER: Final = 4 * 1024 * 1024
PEEKED: Final = 64


class RecordFile:
    """Records, one a line, in a file that is read from its first record on at every pass."""

    def __init__(
        self, file: IO[bytes], name: str, *, start: int = 0, lines_before: int = 0
    ) -> None:
        self._file = file
        self._name = name
        self._start = start
        self._lines_before = lines_before
        self.objects = 0

    def records(self) -> Iterator[tuple[int, Record]]:
        """Give (line number, record), to the end record if there is one.

        :raises InvalidRequestError: a line is cut off, not JSON, or no record.
        """
        self._file.seek(self._start)
        number = self._lines_before
        while line := self._file.readline(LONGEST_LINE):
            number += 1
            yield number, read_record(line, self._name, number)

    def check(self) -> Iterator[tuple[int, ObjectRecord]]:
        """Read everything once, giving the objects; the end record must be the last line.

        :raises InvalidRequestError: naming the line at fault.
        """
        ended = False
        for number, record in self.records():
            if ended:
                message = f"{self._name}: line {number} stands behind the end record"
                raise InvalidRequestError(message)
            if isinstance(record, ObjectRecord):
                self.objects += 1
                yield number, record
            elif isinstance(record, EndRecord):
                ended = True
                if record.objects != self.objects:
                    message = (
                        f"{self._name}: line {number} counts {record.objects} objects, "
                        f"but {self.objects} stand before it"
                    )
                    raise InvalidRequestError(message)
        if not ended:
            message = f"{self._name} is cut off: its last line is no end record"
            raise InvalidRequestError(message)


class Spool:
    """A temporary file that records are put in, on disk, not in memory."""

    def __init__(self) -> None:
        self._file = _temporary_file()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the file."""
        self._file.close()

    def put(self, records: Iterator[Record]) -> Iterator[Record]:
        """Write records as they pass."""
        for record in records:
            self._file.write(to_line(record))
            yield record

    def records(self, name: str, objects: int) -> RecordFile:
        """Give what was put in."""
        self._file.flush()
        file = RecordFile(self._file, name)
        file.objects = objects
        return file


class DumpFile:
    """A dump that was opened; what cannot be read twice is copied into a temporary file first."""

    def __init__(self, path: str) -> None:
        """Open a dump; ``-`` is standard input.

        :raises ConfigurationError: it cannot be read.
        :raises InvalidRequestError: it is empty.
        """
        self.name = "standard input" if path == "-" else path
        try:
            self._file = _seekable(path)
        except OSError as error:
            message = f"cannot read the dump {self.name}: {error.strerror or error}"
            raise ConfigurationError(message) from error
        self._map: mmap.mmap | None = None
        self._columns: ColumnDump | None = None
        # An OpenContrail dump may be one line of any length, which is not worth reading here.
        self._first = self._file.readline(LONGEST_HEADER)
        if not self._first:
            self._file.close()
            message = f"{self.name} is empty"
            raise InvalidRequestError(message)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file; the rows of a dump by columns are gone with it."""
        if self._columns is not None:
            self._columns.clear()
        if self._map is not None:
            # A traceback that is on its way may still hold a row.
            with suppress(BufferError):
                self._map.close()
        self._file.close()

    @property
    def is_own(self) -> bool:
        """Whether it begins with the header of our own form."""
        try:
            return is_header(msgspec.json.decode(self._first))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # A header that was cut off is still no OpenContrail dump.
            return self._first.startswith(b'{"format":')

    def own(self) -> tuple[RecordFile, Schema]:
        """Read the header of our own form.

        :raises InvalidRequestError: it is cut off, or of another version.
        """
        _, schema = read_header(self._first, self.name)
        return RecordFile(self._file, self.name, start=len(self._first), lines_before=1), schema

    def columns(self, findings: Findings) -> ColumnDump:
        """Take an OpenContrail dump apart.

        :raises InvalidRequestError: it is not JSON, cut off, or of no known form.
        """
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        start = self._map[:PEEKED].lstrip()[:1]
        if start == b"[":
            self._columns = read_column_form(self._map, self.name)
            return self._columns
        if start == b"{":
            self._columns = read_exim_form(self._map, self.name, findings)
            return self._columns
        message = f"{self.name} is no dump: neither a line of ours nor JSON stands at its beginning"
        raise InvalidRequestError(message)


def _seekable(path: str) -> IO[bytes]:
    if path == "-":
        return _copied(sys.stdin.buffer)
    file = Path(path).open("rb")  # noqa: SIM115  # its owner closes it
    if stat.S_ISREG(Path(path).stat().st_mode):
        return file
    with file:
        return _copied(file)


def _copied(source: IO[bytes]) -> IO[bytes]:
    copy = _temporary_file()
    shutil.copyfileobj(source, copy)
    copy.seek(0)
    return copy


def _temporary_file() -> IO[bytes]:
    return tempfile.TemporaryFile(prefix="asyncbackends-")
