"""Reads the change table."""

import sqlite3

import msgspec

from asyncbackends.sql.feed import PAGE, Pulled
from asyncbackends_sqlite.statements import Statements, hex_id

__all__ = ("pull",)

_decode_changes = msgspec.json.Decoder(list[tuple[int, int, str, str]]).decode


def pull(cursor: sqlite3.Cursor, sql: Statements, seen: int) -> Pulled:
    """Read a page of changes after ``seen``."""
    row = cursor.execute(sql.pull, (seen, PAGE)).fetchone()
    revision, compacted, changes = row
    found = [(at, op, kind, hex_id(uuid)) for at, op, kind, uuid in _decode_changes(changes)]
    return Pulled(revision, compacted, found)
