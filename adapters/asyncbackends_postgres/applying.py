"""A write unit as one statement: a call of the function in apply.sql. Pure.

Only the parts that a unit has are named in the call, each column of them as one array.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from asyncbackends.sql.effects import Effects
from asyncbackends_postgres.dialect import DIALECT

__all__ = ("PARTS", "Part", "unit_call")

UUID, TEXT, NUMBER, FLAG = "uuid", "text", "bigint", "boolean"


class Part(NamedTuple):
    """What a unit may have: the field of its rows, and an argument with its type per column."""

    field: str
    columns: tuple[tuple[str, str], ...]


def _columns(prefix: str, **types: str) -> tuple[tuple[str, str], ...]:
    return tuple((f"{prefix}_{name}", kind) for name, kind in types.items())


ONE_ROW: Final = frozenset({"fence", "appended"})
BARE_UUIDS: Final = frozenset({"gone", "buried"})

# Columns in the order of the rows' fields.
PARTS: Final = (
    Part(
        "fence",
        _columns("fence", names=TEXT, epochs=NUMBER, tokens=NUMBER),
    ),
    Part(
        "guards",
        _columns("guard", uuids=UUID, types=TEXT, revisions=NUMBER),
    ),
    Part("targets", _columns("target", types=TEXT, uuids=UUID, fqs=TEXT)),
    Part(
        "needed_refs",
        (("needed_from", UUID), ("needed_types", TEXT), ("needed_to", UUID)),
    ),
    Part(
        "objects",
        _columns(
            "object",
            uuids=UUID,
            types=TEXT,
            fqs=TEXT,
            twins=UUID,
            unique=FLAG,
            parent_types=TEXT,
            parent_uuids=UUID,
            parent_fqs=TEXT,
        ),
    ),
    Part("gone", _columns("gone", uuids=UUID)),
    Part("buried", _columns("buried", uuids=UUID)),
    Part("documents", _columns("doc", uuids=UUID, properties=TEXT)),
    Part(
        "elements",
        _columns("elem", uuids=UUID, fields=TEXT, items=TEXT, values=TEXT),
    ),
    Part(
        "appended",
        _columns("appended", uuids=UUID, fields=TEXT, values=TEXT),
    ),
    Part(
        "elements_gone",
        _columns("elem_gone", uuids=UUID, fields=TEXT, items=TEXT),
    ),
    Part(
        "refs",
        (
            ("ref_from", UUID),
            ("ref_from_types", TEXT),
            ("ref_from_fqs", TEXT),
            ("ref_types", TEXT),
            ("ref_to", UUID),
            ("ref_fqs", TEXT),
            ("ref_attrs", TEXT),
            ("ref_relaxed", FLAG),
            ("ref_dangling", FLAG),
        ),
    ),
    Part("refs_gone", (("ref_gone_from", UUID), ("ref_gone_to", UUID))),
    Part("refs_relaxed", (("relaxed_from", UUID), ("relaxed_to", UUID))),
    Part(
        "indexes",
        _columns("index", types=TEXT, props=TEXT, items=TEXT, uuids=UUID),
    ),
    Part("indexes_gone", _columns("index_gone", uuids=UUID, props=TEXT)),
    Part(
        "shares",
        _columns("share", types=TEXT, share_types=TEXT, ids=TEXT, uuids=UUID, rwx=NUMBER),
    ),
    Part("useragent", _columns("agent", names=TEXT, values=TEXT)),
    Part(
        "kv_rows",
        _columns("kv", tables=TEXT, names=TEXT, columns=TEXT, seen=NUMBER, offsets=NUMBER),
    ),
    Part(
        "changes",
        _columns("change", offsets=NUMBER, ops=NUMBER, types=TEXT, uuids=UUID),
    ),
)


def unit_call(effects: Effects, namespace: str) -> tuple[str, list[Any]]:
    """Give the statement that applies a unit, as a driver takes it, and its parameters.

    It gives one row: the counter before the unit, and the time.
    """
    chosen = 0
    parameters: list[Any] = [effects.stamp, effects.revisions]
    for place, (field, columns) in enumerate(PARTS):
        rows = _rows(effects, field)
        if rows:
            chosen |= 1 << place
            for (_, kind), values in zip(columns, zip(*rows, strict=True), strict=True):
                parameters.append(_as_texts(values) if kind in {NUMBER, FLAG} else values)
    return _statement(chosen, namespace), parameters


def _rows(effects: Effects, field: str) -> Sequence[Sequence[Any]]:
    """Give what a field holds as rows."""
    value: Any = getattr(effects, field)
    if field in ONE_ROW:
        return () if value is None else (value,)
    return [(uuid,) for uuid in value] if field in BARE_UUIDS else value


def _as_texts(values: Sequence[Any]) -> list[str | None]:
    """Give numbers and flags as asyncpg encodes them without a question to the server."""
    return [None if value is None else str(value) for value in values]


@lru_cache(maxsize=1024)
def _statement(chosen: int, namespace: str) -> str:
    names = [
        column for place, part in enumerate(PARTS) if chosen >> place & 1 for column in part.columns
    ]
    arguments = ["unit_stamp => $1", "unit_revisions => $2"]
    for number, (name, kind) in enumerate(names, start=3):
        cast = f"${number}::text[]" if kind == TEXT else f"CAST(${number}::text[] AS {kind}[])"
        arguments.append(f"{name} => {cast}")
    call = f"SELECT counter_before, unit_time FROM ~apply_1({', '.join(arguments)})"  # noqa: S608  # our own names
    return DIALECT.rendered(call, namespace)
