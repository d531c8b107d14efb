"""Plain keys and values, and freshness."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import overload

import msgspec

from asyncbackends.errors import NotFoundError
from asyncbackends.object_model import changes
from asyncbackends.object_model.listing import checked_limit, marker_after, read_marker
from asyncbackends.object_model.times import is_current
from asyncbackends.object_model.values import canonical_id, checked_text
from asyncbackends.object_model.writes import UseragentDelete
from asyncbackends.protocols.values import Fence, Id, Json, ObjectPage, WriteResult
from asyncbackends_sqlite.listing import EVERYTHING
from asyncbackends_sqlite.session import Session
from asyncbackends_sqlite.statements import packed_ids
from asyncbackends_sqlite.writing import write_perms2

__all__ = ("SqliteKeyValues",)


class SqliteKeyValues:
    """Implements the Protocols of :mod:`asyncbackends.protocols.key_values`."""

    _session: Session

    async def useragent_kv_store(self, key: str, value: str) -> None:
        with self._session.seam("useragent_kv_store"):
            write = self._session.rules().useragent_store(key, value)
            await self._session.write(write)

    @overload
    async def useragent_kv_retrieve(self, key: str) -> str: ...

    @overload
    async def useragent_kv_retrieve(self, key: list[str]) -> dict[str, str]: ...

    async def useragent_kv_retrieve(self, key: str | list[str]) -> str | dict[str, str]:
        with self._session.seam("useragent_kv_retrieve"):
            keys = [
                checked_text(one, "the useragent key")
                for one in ([key] if isinstance(key, str) else key)
            ]
            names, statement = msgspec.json.encode(keys).decode(), self._session.sql.useragent
            rows = await self._session.read(
                lambda cursor: cursor.execute(statement, (names,)).fetchall()
            )
            found: dict[str, str] = dict(rows)
            if not isinstance(key, str):
                return found
            if key not in found:
                raise changes.no_useragent_key(key)
            return found[key]

    async def useragent_kv_delete(self, key: str) -> None:
        with self._session.seam("useragent_kv_delete"):
            write = UseragentDelete(checked_text(key, "the useragent key"))
            await self._session.write(write)

    async def is_latest(self, id: Id, tstamp: str | int | datetime) -> bool:
        with self._session.seam("is_latest"):
            uuid, statement = canonical_id(id), self._session.sql.object_state
            row: tuple[int, int] | None = await self._session.read(
                lambda cursor: cursor.execute(statement, (packed_ids([uuid]),)).fetchone()
            )
            if row is None:
                raise changes.not_found("object", uuid)
            return is_current(*row, tstamp)

    async def update_perms2(self, obj_uuid: Id) -> WriteResult | None:
        with self._session.seam("update_perms2"):
            rules, uuid = self._session.rules(), canonical_id(obj_uuid)
            return await self._session.change(lambda unit: write_perms2(unit, rules, uuid))

    async def kv_get(self, table: str, key: str) -> dict[str, Json]:
        with self._session.seam("kv_get"):
            checked_text(table, "the table")
            checked_text(key, "the key")
            statement = self._session.sql.row
            row = await self._session.read(
                lambda cursor: cursor.execute(statement, (table, key)).fetchone()
            )
            if row is None:
                message = f"there is no row {key!r} in table {table!r}"
                raise NotFoundError(message)
            return _columns(row[0])

    async def kv_put(
        self, table: str, key: str, columns: Mapping[str, Json], *, fence: Fence | None = None
    ) -> WriteResult:
        with self._session.seam("kv_put"):
            write = self._session.rules().kv_put(table, key, columns)
            return await self._session.write(write, fence)

    async def kv_delete(
        self,
        table: str,
        key: str,
        columns: Sequence[str] | None = None,
        *,
        fence: Fence | None = None,
    ) -> WriteResult:
        with self._session.seam("kv_delete"):
            write = self._session.rules().kv_delete(table, key, columns)
            return await self._session.write(write, fence)

    async def kv_replace(
        self,
        table: str,
        key: str,
        columns: Mapping[str, Json],
        *,
        expected_revision: int | None = None,
        fence: Fence | None = None,
    ) -> WriteResult:
        with self._session.seam("kv_replace"):
            write = self._session.rules().kv_replace(table, key, columns, expected_revision)
            return await self._session.write(write, fence)

    async def kv_list(
        self, table: str, *, marker: str | None = None, limit: int | None = None
    ) -> ObjectPage[tuple[str, dict[str, Json]]]:
        with self._session.seam("kv_list"):
            checked_text(table, "the table")
            after = "" if marker is None else read_marker(marker)
            checked_limit(limit)

            most = EVERYTHING if limit is None else limit + 1
            statement = self._session.sql.rows
            rows = await self._session.read(
                lambda cursor: cursor.execute(statement, (table, after, most)).fetchall()
            )
            items = [(key, _columns(text)) for key, text in rows[:limit]]
            return ObjectPage(items, marker_after(items[-1][0]) if rows[len(items) :] else None)


def _columns(text: str) -> dict[str, Json]:
    columns: dict[str, Json] = msgspec.json.decode(text)
    return columns
