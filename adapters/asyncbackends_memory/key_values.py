"""Plain keys and values, and freshness."""

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, overload

import msgspec

from asyncbackends.errors import NotFoundError, RevisionConflictError
from asyncbackends.object_model import changes
from asyncbackends.object_model.listing import checked_limit, marker_after, read_marker
from asyncbackends.object_model.tables import KvRow
from asyncbackends.object_model.times import is_current
from asyncbackends.object_model.values import checked_text
from asyncbackends.object_model.writes import UseragentDelete
from asyncbackends.protocols.values import Fence, Id, Json, ObjectPage, WriteResult
from asyncbackends_memory.session import Session
from asyncbackends_memory.store import Store

__all__ = ("MemoryKeyValues",)


class MemoryKeyValues:
    """Implements the Protocols of :mod:`asyncbackends.protocols.key_values`."""

    _session: Session

    async def useragent_kv_store(self, key: str, value: str) -> None:
        with self._session.seam("useragent_kv_store"):
            write = self._session.rules().useragent_store(key, value)
            await self._session.write("useragent_kv_store", write)

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
            found = await self._session.read(
                "useragent_kv_retrieve",
                lambda store: {one: store.useragent[one] for one in keys if one in store.useragent},
            )
            if not isinstance(key, str):
                return found
            if key not in found:
                raise changes.no_useragent_key(key)
            return found[key]

    async def useragent_kv_delete(self, key: str) -> None:
        with self._session.seam("useragent_kv_delete"):
            write = UseragentDelete(checked_text(key, "the useragent key"))
            await self._session.write("useragent_kv_delete", write)

    async def is_latest(self, id: Id, tstamp: str | int | datetime) -> bool:
        with self._session.seam("is_latest"):
            row = await self._session.object_row("is_latest", id)
            return is_current(row.revision, row.modified, tstamp)

    async def update_perms2(self, obj_uuid: Id) -> WriteResult | None:
        with self._session.seam("update_perms2"):
            while True:
                row = await self._session.object_row("update_perms2", obj_uuid)
                write = self._session.rules().perms2_update(
                    row.obj_type, row.uuid, msgspec.json.decode(row.document), row.revision
                )
                if write is None:
                    return None
                # Between read and write somebody may have given it permissions.
                with contextlib.suppress(RevisionConflictError):
                    return await self._session.write("update_perms2", write)

    async def kv_get(self, table: str, key: str) -> dict[str, Json]:
        with self._session.seam("kv_get"):
            checked_text(table, "the table")
            checked_text(key, "the key")
            row = await self._session.read(
                "kv_get", lambda store: store.tables.get(table, {}).get(key)
            )
            if row is None:
                message = f"there is no row {key!r} in table {table!r}"
                raise NotFoundError(message)
            return _columns(row)

    async def kv_put(
        self, table: str, key: str, columns: Mapping[str, Json], *, fence: Fence | None = None
    ) -> WriteResult:
        with self._session.seam("kv_put"):
            write = self._session.rules().kv_put(table, key, columns)
            return await self._session.write("kv_put", write, fence)

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
            return await self._session.write("kv_delete", write, fence)

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
            return await self._session.write("kv_replace", write, fence)

    async def kv_list(
        self, table: str, *, marker: str | None = None, limit: int | None = None
    ) -> ObjectPage[tuple[str, dict[str, Json]]]:
        with self._session.seam("kv_list"):
            checked_text(table, "the table")
            after = "" if marker is None else read_marker(marker)
            checked_limit(limit)

            def work(store: Store) -> ObjectPage[Any]:
                rows = store.tables.get(table, {})
                keys = iter(sorted(key for key in rows if key > after))
                page = list(islice(keys, limit))
                more = limit is not None and next(keys, None) is not None
                items = [(key, _columns(rows[key])) for key in page]
                return ObjectPage(items, marker_after(page[-1]) if more else None)

            return await self._session.read("kv_list", work)


def _columns(row: KvRow) -> dict[str, Json]:
    return {name: msgspec.json.decode(text) for name, text in row.columns.items()}
