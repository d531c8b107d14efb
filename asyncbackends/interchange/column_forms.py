"""Takes the two OpenContrail forms apart into rows, without decoding the rows. Pure.

The column form is a list with one dict: ``operation``, ``OBJ_FQ_NAME_TABLE`` and ``db``, which is
``{uuid: {column: json_text}}``. The db_json_exim form is ``{cassandra: {keyspace: {table: {row:
{column: [text, timestamp]}}}}, zookeeper: ...}``. The rows stay bytes of the buffer they came in,
so a dump that is mapped into memory costs little more than its index.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from asyncbackends.errors import InvalidRequestError
from asyncbackends.interchange.findings import Findings
from asyncbackends.interchange.shapes import as_dict, as_list

__all__ = ("COLUMN_FORM", "EXIM_FORM", "ColumnDump", "read_column_form", "read_exim_form")

COLUMN_FORM: Final = "the column form of OpenContrail"
EXIM_FORM: Final = "the db_json_exim form of OpenContrail"
OBJECT_KEYSPACE: Final = "config_db_uuid"
USERAGENT_TABLE: Final = "useragent_keyval_table"

Table = dict[str, msgspec.Raw]

_decode_columns = msgspec.json.Decoder(dict[str, Any]).decode


class ColumnDump(msgspec.Struct):
    """A dump as rows of columns; a row is decoded when it is asked for."""

    form: str
    rows: Table
    """Objects by uuid."""
    names: Table = {}
    """The name table: by type, columns ``name:uuid``."""
    shares: Table = {}
    """By type, columns ``share_type:share_id:uuid``."""
    texts: Table = {}
    """The useragent store."""
    tables: dict[str, Table] = {}
    """All other tables."""

    def clear(self) -> None:
        """Let go of the buffer."""
        for table in (self.rows, self.names, self.shares, self.texts, self.tables):
            table.clear()

    def columns(self, raw: msgspec.Raw) -> tuple[dict[str, str], dict[str, str]]:
        """Decode a row.

        :returns: the text of each column, and the columns that have none, with the reason.
        :raises ValueError: the row is no JSON object.
        """
        try:
            decoded = _decode_columns(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            message = "it is no JSON object of columns"
            raise ValueError(message) from None
        texts: dict[str, str] = {}
        broken: dict[str, str] = {}
        for column, text in decoded.items():
            if self.form == EXIM_FORM:
                text = next(iter(as_list(text) or ()), None)
            if isinstance(text, str):
                texts[column] = text
            else:
                wanted = "[text, timestamp]" if self.form == EXIM_FORM else "JSON text"
                broken[column] = f"it is no {wanted}"
        return texts, broken


class _Entry(msgspec.Struct):
    db: Table
    operation: Any = None
    OBJ_FQ_NAME_TABLE: Table = {}


class _Exim(msgspec.Struct):
    cassandra: dict[str, dict[str, Table]]
    zookeeper: Any = None


def read_column_form(buffer: Any, name: str) -> ColumnDump:
    """Read the column form.

    :raises InvalidRequestError: it is not JSON, cut off, or of no known form.
    """
    entries = _decode(buffer, list[_Entry], name, COLUMN_FORM)
    if len(entries) != 1:
        message = f"{name} is a list of {len(entries)} entries; {COLUMN_FORM} has one"
        raise InvalidRequestError(message)
    return ColumnDump(COLUMN_FORM, entries[0].db, entries[0].OBJ_FQ_NAME_TABLE)


def read_exim_form(buffer: Any, name: str, findings: Findings) -> ColumnDump:
    """Read the db_json_exim form.

    :raises InvalidRequestError: it is not JSON, cut off, or of no known form.
    """
    exim = _decode(buffer, _Exim, name, EXIM_FORM)
    prefixes = [
        keyspace.removesuffix(OBJECT_KEYSPACE)
        for keyspace in exim.cassandra
        if keyspace.endswith(OBJECT_KEYSPACE)
    ]
    if len(prefixes) != 1:
        message = f"{name} has {len(prefixes)} keyspaces {OBJECT_KEYSPACE}; {EXIM_FORM} has one"
        raise InvalidRequestError(message)
    nodes = _nodes(exim.zookeeper)
    if nodes:
        findings.note("nodes of the coordination service are left out", nodes)
    dump = ColumnDump(EXIM_FORM, {})
    for keyspace, tables in sorted(exim.cassandra.items()):
        _take_tables(dump, keyspace.removeprefix(prefixes[0]), tables, findings)
    return dump


def _nodes(zookeeper: Any) -> int:
    """Count the nodes in what is usually a list as JSON text."""
    try:
        nodes = msgspec.json.decode(zookeeper) if isinstance(zookeeper, str) else zookeeper
    except msgspec.DecodeError:
        return 1
    return len(as_list(nodes) or as_dict(nodes) or ())


def _take_tables(
    dump: ColumnDump, keyspace: str, tables: Mapping[str, Table], findings: Findings
) -> None:
    for name, table in sorted(tables.items()):
        if keyspace == OBJECT_KEYSPACE and name == "obj_uuid_table":
            dump.rows = table
        elif keyspace == OBJECT_KEYSPACE and name == "obj_fq_name_table":
            dump.names = table
        elif keyspace == OBJECT_KEYSPACE and name == "obj_shared_table":
            dump.shares = table
        elif name == USERAGENT_TABLE:
            dump.texts = table
        elif table and name in dump.tables:
            findings.warn(
                "tables of one name", f"{keyspace}.{name}", "", "it is loaded under this name"
            )
            dump.tables[f"{keyspace}.{name}"] = table
        elif table:
            dump.tables[name] = table


def _decode(buffer: Any, wanted: Any, name: str, form: str) -> Any:
    try:
        return msgspec.json.decode(buffer, type=wanted)
    except msgspec.ValidationError as error:
        reason = str(error).replace("`", "")
        message = f"{name} is of no known form: it would be {form}, but: {reason}"
        raise InvalidRequestError(message) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = "is cut off" if "truncated" in str(error) else f"is not JSON: {error}"
        message = f"{name} {problem}"
        raise InvalidRequestError(message) from None
