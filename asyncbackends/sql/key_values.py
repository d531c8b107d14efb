"""Plain keys and values, and freshness."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import overload

import msgspec

from asyncbackends.errors import NotFoundError, RevisionConflictError, WriteContentionError
from asyncbackends.object_model import changes
from asyncbackends.object_model.listing import checked_limit, marker_after, read_marker
from asyncbackends.object_model.times import is_current
from asyncbackends.object_model.values import canonical_id, checked_text
from asyncbackends.object_model.writes import UseragentDelete
from asyncbackends.protocols.values import Fence, Id, Json, ObjectPage, WriteResult
from asyncbackends.sql.session import Session
from asyncbackends.sql.statements import EVERYTHING

__all__ = ("SqlKeyValues",)


class SqlKeyValues:
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
            statement = self._session.sql.useragent
            rows = await self._session.read(statement, (keys,)) if keys else ()
            found: dict[str, str] = {row[0]: row[1] for row in rows}
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
            uuid, sql = canonical_id(id), self._session.sql
            rows = await self._session.read(sql.object_state, (sql.id(uuid),))
            if not rows:
                raise changes.not_found("object", uuid)
            revision, modified = rows[0]
            return is_current(revision, modified, tstamp)

    async def update_perms2(self, obj_uuid: Id) -> WriteResult | None:
        with self._session.seam("update_perms2"):
            uuid, session = canonical_id(obj_uuid), self._session
            loop = asyncio.get_running_loop()
            end = loop.time() + session.operation_timeout
            while True:
                try:
                    return await self._write_perms2(uuid)
                except RevisionConflictError as error:
                    if loop.time() > end:
                        message = f"{uuid} was changed by others again and again"
                        raise WriteContentionError(message) from error

    async def _write_perms2(self, uuid: str) -> WriteResult | None:
        session = self._session
        rows = await session.read(session.sql.object_document, (session.sql.id(uuid),))
        if not rows:
            raise changes.not_found("object", uuid)
        obj_type, revision, document = rows[0]
        properties = {} if document is None else _columns(document)
        update = session.rules().perms2_update(obj_type, uuid, properties, revision)
        return None if update is None else await session.write(update)

    async def kv_get(self, table: str, key: str) -> dict[str, Json]:
        with self._session.seam("kv_get"):
            checked_text(table, "the table")
            checked_text(key, "the key")
            statement = self._session.sql.row
            rows = await self._session.read(statement, (table, key))
            if not rows:
                message = f"there is no row {key!r} in table {table!r}"
                raise NotFoundError(message)
            return _columns(rows[0][0])

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
            rows = await self._session.read(statement, (table, after, most))
            items = [(key, _columns(text)) for key, text in rows[:limit]]
            return ObjectPage(items, marker_after(items[-1][0]) if rows[len(items) :] else None)


def _columns(text: str) -> dict[str, Json]:
    columns: dict[str, Json] = msgspec.json.decode(text)
    return columns
