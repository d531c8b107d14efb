"""Answers lists, each page in one round trip where no document has to be read for it."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from asyncbackends.object_model.assembling import assemble
from asyncbackends.object_model.listing import (
    Listing,
    marker_after,
    matches,
    restricts_to_nothing,
)
from asyncbackends.object_model.values import fq_name_of
from asyncbackends.object_model.views import Selection
from asyncbackends.protocols.values import ConfigObject, ObjectPage
from asyncbackends.sql.listing import ListQuery
from asyncbackends.sql.reading import assembled, objects_statement, page_statement, wanted_parts
from asyncbackends.sql.server import Row
from asyncbackends.sql.session import Session

__all__ = ("Lister",)

DOCUMENTS: Final = 500
"""So many are read at a time for filters that no index answers."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Lister:
    """One list."""

    def __init__(self, session: Session, wanted: Listing) -> None:
        self._session = session
        self._wanted = wanted
        self._query = ListQuery(session.sql, wanted)

    async def count(self) -> int:
        """Give the number of objects."""
        session = self._session
        if restricts_to_nothing(self._wanted):
            return 0
        if not self._wanted.filters:
            rows = await session.read(*self._query.count())
            number: int = rows[0][0]
            return number
        found, after = 0, None
        with session.within_deadline():
            while True:
                matching, after = await self._matching(after)
                found += len(matching)
                if after is None:
                    return found

    async def page(self) -> ObjectPage[Any]:
        """Give the page behind the marker.

        It is one state; with filters that no index answers, the names are found as they are read,
        and objects are those of them that match in one state.
        """
        wanted = self._wanted
        if restricts_to_nothing(wanted):
            return ObjectPage([])
        most = None if wanted.limit is None else wanted.limit + 1
        if wanted.filters:
            with self._session.within_deadline():
                names = await self._filtered(most)
                if wanted.selection is None:
                    return self._named(names)
                return await self._checked(names, wanted.selection)
        if wanted.selection is None:
            return self._named(await self._session.read(*self._query.page(wanted.after, most)))
        return await self._objects(wanted.selection, most)

    def _named(self, rows: Sequence[Row]) -> ObjectPage[Any]:
        limit = self._wanted.limit
        items = [(fq_name_of(key), uuid) for uuid, key in rows[:limit]]
        return ObjectPage(items, None if len(items) == len(rows) else marker_after(items[-1][1]))

    async def _objects(self, selection: Selection, most: int | None) -> ObjectPage[ConfigObject]:
        sql, wanted = self._session.sql, self._wanted
        view = self._session.rules().view(wanted.obj_type)
        parts = wanted_parts(view, selection)
        uuids = self._query.uuids(wanted.after, most)
        rows = await self._session.read(*page_statement(sql, parts, *uuids))
        found = assembled(view, rows)
        page = sorted(found)[: wanted.limit]
        items = [assemble(view, selection, found[uuid]) for uuid in page]
        return ObjectPage(items, None if len(page) == len(found) else marker_after(page[-1]))

    async def _checked(
        self, names: Sequence[Row], selection: Selection
    ) -> ObjectPage[ConfigObject]:
        """Give the objects of these names that match the filters still."""
        sql, wanted = self._session.sql, self._wanted
        view = self._session.rules().view(wanted.obj_type)
        page = [uuid for uuid, _ in names[: wanted.limit]]
        if not page:
            return ObjectPage([])
        parts = wanted_parts(view, selection, document=True)
        found = assembled(view, await self._session.read(*objects_statement(sql, parts, page)))
        items = [
            assemble(view, selection, found[uuid])
            for uuid in page
            if uuid in found and matches(wanted.filters, _decode(found[uuid].document))
        ]
        return ObjectPage(items, None if len(page) == len(names) else marker_after(page[-1]))

    async def _filtered(self, most: int | None) -> Sequence[Row]:
        found: list[Row] = []
        after = self._wanted.after
        while True:
            matching, after = await self._matching(after)
            found += matching
            if after is None or (most is not None and len(found) >= most):
                return found[:most]

    async def _matching(self, after: str | None) -> tuple[list[Row], str | None]:
        """Give those of the next documents that match, and where to read on."""
        rows = await self._session.read(*self._query.documents(after, DOCUMENTS))
        filters = self._wanted.filters
        matching = [
            row[:2] for row in rows if row[2] is not None and matches(filters, _decode(row[2]))
        ]
        return matching, rows[-1][0] if len(rows) == DOCUMENTS else None
