"""What stands beside the objects of a db_json_exim dump: shares, texts, other tables. Pure."""

from collections.abc import Collection, Iterator

from asyncbackends.errors import InvalidRequestError
from asyncbackends.interchange.column_forms import ColumnDump
from asyncbackends.interchange.column_names import decoded, snake_case
from asyncbackends.interchange.findings import Findings
from asyncbackends.interchange.records import RowRecord, ShareRecord, TextRecord
from asyncbackends.object_model.values import canonical_id, checked_text

__all__ = ("side_records",)


def side_records(
    dump: ColumnDump, uuids: Collection[str], findings: Findings
) -> Iterator[ShareRecord | TextRecord | RowRecord]:
    """Give shares of the objects ``uuids``, texts of the useragent store, and rows of all tables."""
    for obj_type, raw in sorted(dump.shares.items()):
        where = f"the share table, {obj_type}"
        for column, text in _columns(dump, raw, where, findings):
            share = _share(snake_case(obj_type), column, text, uuids, findings, where)
            if share is not None:
                yield share
    for key, raw in sorted(dump.texts.items()):
        texts = dict(_columns(dump, raw, f"the useragent store, {key}", findings))
        if "value" in texts and _is_key(key, "the useragent store", findings):
            yield TextRecord(key, texts["value"])
        elif "value" not in texts:
            findings.damage(f"the useragent store, {key}", "value", "the column is missing")
    for table, rows in sorted(dump.tables.items()):
        for key, raw in sorted(rows.items()):
            columns = dict(_columns(dump, raw, f"{table}, {key}", findings))
            if columns and _is_key(key, table, findings):
                yield RowRecord(table, key, columns)


def _columns(
    dump: ColumnDump, raw: object, where: str, findings: Findings
) -> Iterator[tuple[str, str]]:
    try:
        texts, broken = dump.columns(raw)  # type: ignore[arg-type]  # a row of this dump
    except ValueError as error:
        findings.damage(where, "", str(error))
        return
    for column, reason in sorted(broken.items()):
        findings.damage(where, column, reason)
    yield from sorted(texts.items())


def _is_key(key: str, table: str, findings: Findings) -> bool:
    try:
        checked_text(key, "the key")
    except InvalidRequestError as error:
        findings.damage(f"{table}, {key[:80]}", "", str(error))
        return False
    return True


def _share(
    obj_type: str,
    column: str,
    text: str,
    uuids: Collection[str],
    findings: Findings,
    where: str,
) -> ShareRecord | None:
    share_type, _, rest = column.partition(":")
    share_id, _, last = rest.rpartition(":")
    try:
        uuid, rwx = canonical_id(last), decoded(text)
    except ValueError as error:  # InvalidRequestError is one
        findings.damage(where, column, str(error))
        return None
    if uuid not in uuids:
        findings.damage(where, column, f"there is no row {uuid}")
    elif not share_type or type(rwx) is not int or not 0 <= rwx <= 7:
        findings.damage(where, column, f"a share is type:id:uuid and 0 to 7, not {rwx!r}")
    else:
        return ShareRecord(obj_type, uuid, share_type, share_id, rwx)
    return None
