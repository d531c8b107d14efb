"""Lists objects of a type: from the narrowest index, by keyset; runs in a thread."""

import sqlite3
from collections.abc import Iterator

import msgspec

from asyncbackends.object_model.listing import Listing, matches, restricts_to_nothing
from asyncbackends_sqlite.statements import (
    IDS,
    IN_BACK_REFS,
    IN_INDEX,
    IN_PARENTS,
    IN_UUIDS,
    LIST_SOURCES,
    Statements,
    hex_id,
    packed_ids,
    text_id,
)

__all__ = ("EVERYTHING", "Lister")

EVERYTHING = -1
LOWEST = b""

_decode_rows = msgspec.json.Decoder(list[tuple[str, str]]).decode


class _Query:
    """One list as a statement: fragments of our own, put together, and their parameters."""

    def __init__(self, wanted: Listing) -> None:
        source = "type"
        self.parameters: list[object] = [wanted.obj_type]
        rest = {"parents": wanted.parents, "back_refs": wanted.back_refs}
        if wanted.back_refs is not None and len(wanted.back_refs) == 1:
            source, anchors = "back_ref", rest.pop("back_refs")
            self.parameters.append(packed_ids(anchors or ()))
        elif wanted.parents is not None and len(wanted.parents) == 1:
            source, anchors = "parent", rest.pop("parents")
            self.parameters.append(packed_ids(anchors or ()))
        self.uuid, self.name, self.rows = LIST_SOURCES[source]
        if wanted.uuids is not None:
            self._among(f"{IDS} {IN_UUIDS}", packed_ids(wanted.uuids))
        for restriction, fragment in (("parents", IN_PARENTS), ("back_refs", IN_BACK_REFS)):
            anchors = rest.get(restriction)
            if anchors is not None:
                self._among(f"{IDS} {fragment}", packed_ids(anchors), wanted.obj_type)
        for prop, keys in wanted.indexed.items():
            self._among(IN_INDEX, msgspec.json.encode(keys).decode(), wanted.obj_type, prop)

    def _among(self, subquery: str, *parameters: object) -> None:
        self.rows += f" AND {self.uuid} IN ({subquery})"
        self.parameters += parameters


class Lister:
    """Answers lists from one snapshot."""

    def __init__(self, cursor: sqlite3.Cursor, sql: Statements) -> None:
        self._cursor = cursor
        self._sql = sql

    def count(self, wanted: Listing) -> int:
        """Give the number of objects."""
        if restricts_to_nothing(wanted):
            return 0
        if wanted.filters:
            return sum(1 for _ in self._filtered(wanted))
        query = _Query(wanted)
        text = f"SELECT count(*) FROM {query.rows}"  # noqa: S608  # fragments of our own
        count: int = self._cursor.execute(self._sql.filled(text), query.parameters).fetchone()[0]
        return count

    def page(self, wanted: Listing) -> list[tuple[str, str]]:
        """Give (uuid, name), one more than the limit if there are more."""
        if restricts_to_nothing(wanted):
            return []
        limit = EVERYTHING if wanted.limit is None else wanted.limit + 1
        if wanted.filters:
            found: list[tuple[str, str]] = []
            for item in self._filtered(wanted):
                found.append(item)
                if len(found) == limit:
                    break
            return found
        text, parameters = self.statement(wanted, limit)
        rows: str = self._cursor.execute(text, parameters).fetchone()[0]
        return [(hex_id(uuid), name) for uuid, name in _decode_rows(rows)]

    def statement(self, wanted: Listing, limit: int) -> tuple[str, list[object]]:
        """Give the statement of a page, for objects after the marker."""
        query = _Query(wanted)
        text = (
            "SELECT json_group_array(json_array(hex(uuid), fq)) FROM"  # noqa: S608  # our fragments
            f" (SELECT {query.uuid} AS uuid, {query.name} AS fq FROM {query.rows}"
            f" AND {query.uuid} > ? ORDER BY {query.uuid} LIMIT ?)"
        )
        return self._sql.filled(text), [*query.parameters, _after(wanted), limit]

    def _filtered(self, wanted: Listing) -> Iterator[tuple[str, str]]:
        query = _Query(wanted)
        text = (
            f"SELECT {query.uuid}, {query.name}, d.properties"  # noqa: S608  # our fragments
            f" FROM {query.rows} AND {query.uuid} > ? ORDER BY {query.uuid}"
        )
        text = text.replace(" WHERE ", WITH_DOCUMENT[query.uuid], 1)
        parameters = [*query.parameters, _after(wanted)]
        for uuid, name, document in self._cursor.execute(self._sql.filled(text), parameters):
            if matches(wanted.filters, msgspec.json.decode(document)):
                yield text_id(uuid), name


WITH_DOCUMENT = {
    "o.uuid": " CROSS JOIN ~doc d ON d.id = o.id WHERE ",
    "r.from_uuid": " CROSS JOIN ~doc d ON d.id = r.from_id WHERE ",
}


def _after(wanted: Listing) -> bytes:
    return LOWEST if wanted.after is None else packed_ids([wanted.after])
