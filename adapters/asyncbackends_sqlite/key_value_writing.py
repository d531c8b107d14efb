"""Applies writes of rows of columns."""

from collections.abc import Mapping

import msgspec

from asyncbackends.object_model import changes
from asyncbackends.object_model.times import utc_time
from asyncbackends.object_model.writes import KvDelete, KvPut, KvReplace
from asyncbackends.protocols.values import WriteResult
from asyncbackends_sqlite.unit import Unit

__all__ = ("write_row",)

_decode_columns = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def write_row(unit: Unit, write: KvPut | KvReplace | KvDelete) -> WriteResult:
    """Set, replace or delete columns of a row; a row without columns is not there."""
    at = (write.table, write.key)
    row = unit.execute(unit.sql.row, at).fetchone()
    stored, revision = row or ("{}", 0)
    columns: Mapping[str, str | None]
    match write:
        case KvPut():
            columns = write.columns
        case KvReplace():
            what = f"{write.table} {write.key}"
            changes.check_revision(what, write.expected_revision, revision)
            columns = write.columns
            stored = "{}"
        case KvDelete():
            there = _decode_columns(stored)
            gone = there.keys() if write.columns is None else there.keys() & write.columns
            if not gone:
                return WriteResult(unit.revision, utc_time(unit.now))
            columns = dict.fromkeys(gone)
    unit.revision += 1
    text = changes.patched_document(stored, columns)
    if text == "{}":
        unit.execute(unit.sql.delete_row, at)
    else:
        unit.execute(unit.sql.put_row, (*at, unit.revision, text))
    return WriteResult(unit.revision, utc_time(unit.now))
