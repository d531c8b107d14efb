"""Neutral SQL in PostgreSQL's words. Pure."""

import re
from typing import Final

__all__ = ("DIALECT", "PostgresDialect")

INSIDE: Final = r"\(((?:[^()]|\([^()]*\))*)\)"
FUNCTIONS: Final = (
    (re.compile(rf"\bID{INSIDE}"), r"CAST(\1 AS text)"),
    (re.compile(rf"\bTEXT{INSIDE}"), r"\1"),
    (re.compile(r" ?\bFORCE\(\w+\)"), ""),
    (re.compile(r"\bLOCK\(update\)"), "FOR UPDATE"),
    (re.compile(r"\bLOCK\(share\)"), "FOR KEY SHARE"),
)
# Columns of uuids are named so. asyncpg knows arrays of text by itself; of others it would ask the
# server first.
PARAMETER: Final = re.compile(r"'[^']*'|(?P<uuids>\w*uuid IN \?)|(?P<list>\bIN \?)|\?")
TABLE: Final = re.compile(r"~(?=\w)")
SCHEMA: Final = "CREATE SCHEMA ~"


class PostgresDialect:
    """Renders neutral SQL; uuids are their own parameters."""

    def rendered(self, statement: str, namespace: str) -> str:
        """Give a statement with the namespace's schema and numbered parameters."""
        if statement == SCHEMA:
            return _new_schema(namespace)
        for function, replacement in FUNCTIONS:
            statement = function.sub(replacement, statement)
        count = 0

        def numbered(found: re.Match[str]) -> str:
            nonlocal count
            text = found[0]
            if text.startswith("'"):
                return text
            count += 1
            if found["uuids"]:
                return text.replace("IN ?", f"= ANY (CAST(${count}::text[] AS uuid[]))")
            return f"= ANY (${count}::text[])" if found["list"] else f"${count}"

        statement = PARAMETER.sub(numbered, statement)
        return TABLE.sub(f'"{namespace}".' if namespace else "", statement)

    def id(self, uuid: str) -> str:
        """Give the parameter for a canonical uuid."""
        return uuid


def _new_schema(namespace: str) -> str:
    if not namespace:
        return "SELECT 1"
    # IF NOT EXISTS alone asks for the right to make schemas also where this one is there.
    return (
        f"DO $$BEGIN IF to_regnamespace('\"{namespace}\"') IS NULL"
        f' THEN CREATE SCHEMA "{namespace}"; END IF; END$$'
    )


DIALECT: Final = PostgresDialect()
