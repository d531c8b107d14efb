"""Makes and checks the tables, and keeps the schema; runs in the writer's thread."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from asyncbackends.errors import ConfigurationError, SchemaVersionError
from asyncbackends.object_model.values import index_key
from asyncbackends.schema import Schema, reconcile
from asyncbackends_sqlite.connection import patiently
from asyncbackends_sqlite.statements import Statements, text_id

__all__ = ("indexed_properties", "missing_tables", "prepare_tables", "stored_schema", "use_schema")

VERSION = 1
TABLES = Path(__file__).with_name("tables.sql").read_text(encoding="utf-8")

Indexed = dict[str, tuple[str, ...]]


def prepare_tables(
    connection: sqlite3.Connection, sql: Statements, *, create: bool, seconds: float
) -> None:
    """Make the tables where they are missing; several processes may do so at once.

    :raises SchemaVersionError: they are another adapter's, or missing and not to be made.
    """
    version = _version(connection, sql)
    if version == VERSION:
        return
    if version is not None and version > VERSION:
        message = f"the tables are of version {version}, this adapter's of {VERSION}; upgrade it"
        raise SchemaVersionError(message)
    if not create:
        raise missing_tables(sql, "the tables are missing")
    patiently(lambda: connection.execute("BEGIN IMMEDIATE"), seconds)
    try:
        if _version(connection, sql) is None:
            for statement in _statements(sql.filled(TABLES)):
                connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.OperationalError) and "already exists" in str(error):
            message = f"the file has tables of something else ({error}); choose another namespace"
            raise ConfigurationError(message) from error
        raise


def missing_tables(sql: Statements, what: str) -> SchemaVersionError:
    """Say what is missing, and how to make it."""
    script = sql.filled(TABLES)
    return SchemaVersionError(f"{what} and create_schema = no; make the tables with:\n{script}")


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _version(connection: sqlite3.Connection, sql: Statements) -> int | None:
    row = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (sql.filled("~meta"),)
    ).fetchone()
    if row is None:
        return None
    row = connection.execute(sql.meta, ("version",)).fetchone()
    return None if row is None else int(row[0])


def stored_schema(cursor: sqlite3.Cursor, sql: Statements) -> Schema | None:
    """Give the schema that the database keeps."""
    row = cursor.execute(sql.meta, ("schema",)).fetchone()
    return None if row is None else Schema.from_dict(msgspec.json.decode(row[0]))


def use_schema(cursor: sqlite3.Cursor, sql: Statements, given: Schema | None) -> Schema:
    """Give the schema in force, storing it first if it is new; inside a transaction.

    :raises ConfigurationError: it is no superset of the stored one, or a property that is to be
        indexed has a value that cannot be.
    """
    stored = stored_schema(cursor, sql)
    in_force = reconcile(given, stored)
    if in_force != stored and given is not None:
        before = indexed_properties(stored or Schema())
        for obj_type, properties in indexed_properties(in_force).items():
            for prop in set(properties) - set(before.get(obj_type, ())):
                _fill_index(cursor, sql, obj_type, prop)
        text = msgspec.json.encode(in_force.to_dict()).decode()
        cursor.execute(sql.set_meta, ("schema", text))
        stamp = cursor.execute(sql.meta, ("schema_stamp",)).fetchone()[0]
        cursor.execute(sql.set_meta, ("schema_stamp", stamp + 1))
    return in_force


def indexed_properties(schema: Schema) -> Indexed:
    """Give the indexed properties of every type that has some."""
    return {name: item.indexed for name, item in schema.types.items() if item.indexed}


def _fill_index(cursor: sqlite3.Cursor, sql: Statements, obj_type: str, prop: str) -> None:
    entries: list[tuple[str, str, str, bytes]] = []
    for uuid, document in cursor.execute(sql.docs_of_type, (obj_type,)):
        properties = msgspec.json.decode(document)
        if prop not in properties:
            continue
        key = index_key(properties[prop])
        if key is None:
            message = (
                f"type {obj_type!r}: indexed: {prop!r} of {text_id(uuid)} is neither text, a number "
                f"nor a boolean, so it cannot be indexed"
            )
            raise ConfigurationError(message)
        entries.append((obj_type, prop, key, uuid))
    cursor.executemany(sql.put_index, entries)
