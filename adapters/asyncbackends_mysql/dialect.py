"""Neutral SQL in MariaDB's and MySQL's words, and values as literals. Pure.

Text and bytes are hexadecimal literals: they need no escaping, whatever the server's sql_mode is.
"""

import re
from functools import lru_cache
from typing import Any, Final

__all__ = (
    "DIALECT",
    "MysqlDialect",
    "id_literal",
    "literal",
    "name_literal",
    "name_of",
    "named",
    "text_literal",
)

INSIDE: Final = r"\(((?:[^()]|\([^()]*\))*)\)"
FUNCTIONS: Final = (
    (re.compile(r"%"), "%%"),
    (
        re.compile(rf"\bID{INSIDE}"),
        r"LOWER(INSERT(INSERT(INSERT(INSERT(HEX(\1), 9, 0, '-'), 14, 0, '-'), 19, 0, '-'), 24, 0, '-'))",
    ),
    (re.compile(rf"\bTEXT{INSIDE}"), r"CONVERT(\1 USING utf8mb4)"),
    (re.compile(r"\bFORCE\((\w+)\)"), r"FORCE INDEX (\1)"),
    (re.compile(r"\bLOCK\(update\)"), "FOR UPDATE"),
    (re.compile(r"\bLOCK\(share\)"), "LOCK IN SHARE MODE"),
    (re.compile(r"\?"), "%s"),
)
TABLE: Final = re.compile(r"~(\w+)")


def name_of(table: str, namespace: str) -> str:
    """Give a table's name in a namespace."""
    return f"{namespace}_{table}" if namespace else table


def named(statement: str, namespace: str) -> str:
    """Give a statement with the namespace's tables."""
    return TABLE.sub(lambda found: f"`{name_of(found[1], namespace)}`", statement)


class MysqlDialect:
    """Renders neutral SQL with ``%s`` for parameters; a uuid is given as its 16 bytes."""

    def rendered(self, statement: str, namespace: str) -> str:
        """Give a statement with the namespace's prefix."""
        for function, replacement in FUNCTIONS:
            statement = function.sub(replacement, statement)
        return named(statement, namespace)

    def id(self, uuid: str) -> bytes:
        """Give the parameter for a canonical uuid."""
        return bytes.fromhex(uuid.replace("-", ""))


DIALECT: Final = MysqlDialect()


def literal(value: Any) -> str:
    """Give a parameter as the server reads it; one that is a sequence has at least one item."""
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, str):
        return f"x'{value.encode().hex()}'"
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(int(value))
    return f"({','.join(map(literal, value))})"


def text_literal(text: str) -> str:
    """Give text as the server reads it."""
    return f"x'{text.encode().hex()}'"


@lru_cache(maxsize=1024)
def name_literal(name: str) -> str:
    """Give the name of a type, a field or a property, of which there are few."""
    return text_literal(name)


def id_literal(uuid: str) -> str:
    """Give a canonical uuid as the server reads it."""
    return f"x'{uuid.replace('-', '')}'"
