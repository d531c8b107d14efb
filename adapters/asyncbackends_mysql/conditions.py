"""Conditions on rows, as text of statements. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

from asyncbackends.sql.effects import NewKvRow
from asyncbackends_mysql.dialect import id_literal, name_literal, text_literal

__all__ = (
    "CONDITIONS",
    "any_of",
    "around",
    "chunks",
    "id_list",
    "is_named",
    "is_ref",
    "is_row",
)

ItemT = TypeVar("ItemT")

CONDITIONS: Final = 200
"""Rows that one statement looks for."""


def around(pair: tuple[str, str], inside: str) -> str:
    """Put something between the two parts of a statement."""
    return f"{pair[0]}{inside}{pair[1]}"


def any_of(conditions: Sequence[str]) -> str:
    """Give the condition that one of them holds."""
    return " OR ".join(conditions)


def id_list(uuids: Iterable[str]) -> str:
    """Give uuids for IN."""
    return f"({','.join(map(id_literal, uuids))})"


def is_named(obj_type: str, fq: str) -> str:
    """Give the condition on an object's type and name."""
    return f"type = {name_literal(obj_type)} AND fq = {text_literal(fq)}"


def is_ref(from_uuid: str, to_uuid: str) -> str:
    """Give the condition on a ref's ends."""
    return f"from_uuid = {id_literal(from_uuid)} AND to_uuid = {id_literal(to_uuid)}"


def is_row(row: NewKvRow) -> str:
    """Give the condition on the key of a row of columns."""
    return f"row_table = {text_literal(row.row_table)} AND name = {text_literal(row.name)}"


def chunks(items: Sequence[ItemT]) -> Iterator[Sequence[ItemT]]:
    """Give so many at a time as one statement looks for."""
    return (items[at : at + CONDITIONS] for at in range(0, len(items), CONDITIONS))
