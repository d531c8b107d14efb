"""Objects: create, read, update, delete, list."""

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal

from asyncbackends.object_model import changes
from asyncbackends.object_model.applying import refused_in_unit
from asyncbackends.object_model.assembling import assemble, without_identity
from asyncbackends.object_model.listing import Listing, marker_after
from asyncbackends.object_model.tables import Row, parts_of, row_of
from asyncbackends.object_model.values import canonical_id, canonical_ids, fq_name_of
from asyncbackends.paging import ObjectPages
from asyncbackends.protocols.objects import Filters, NewObject
from asyncbackends.protocols.values import (
    ConfigObject,
    Fence,
    FieldNames,
    Id,
    Json,
    ObjectPage,
    WriteResult,
)
from asyncbackends_memory.reading import list_rows
from asyncbackends_memory.session import Session
from asyncbackends_memory.store import Store

__all__ = ("MemoryObjects",)


class MemoryObjects:
    """Implements :class:`asyncbackends.protocols.objects.Objects`."""

    _session: Session

    async def object_create(
        self,
        obj_type: str,
        obj_uuid: Id,
        obj_dict: Mapping[str, Json],
        *,
        fence: Fence | None = None,
    ) -> WriteResult:
        with self._session.seam("object_create"):
            write = self._session.rules().create(obj_type, obj_uuid, obj_dict)
            return await self._session.write("object_create", write, fence)

    async def object_create_many(
        self, objects: Sequence[NewObject], *, fence: Fence | None = None
    ) -> list[WriteResult]:
        with self._session.seam("object_create_many"):
            rules = self._session.rules()
            writes = [rules.create(*new) for new in objects]
            return await self._session.apply("object_create_many", writes, fence, refused_in_unit)

    async def object_get(
        self, obj_type: str, obj_uuid: Id, field_names: FieldNames = None
    ) -> ConfigObject:
        with self._session.seam("object_get"):
            return (await self._objects("object_get", obj_type, [obj_uuid], field_names))[0]

    async def object_read(
        self,
        obj_type: str,
        obj_uuids: Sequence[Id],
        field_names: FieldNames = None,
        *,
        missing: Literal["raise", "skip"] = "raise",
    ) -> list[ConfigObject]:
        with self._session.seam("object_read"):
            return await self._objects("object_read", obj_type, obj_uuids, field_names, missing)

    async def object_raw_read(
        self, obj_type: str, obj_uuids: Sequence[Id], prop_names: Sequence[str]
    ) -> list[ConfigObject]:
        with self._session.seam("object_raw_read"):
            self._session.rules().view(obj_type).check_properties(prop_names)
            found = await self._objects("object_raw_read", obj_type, obj_uuids, prop_names, "skip")
            return [without_identity(item) for item in found]

    async def _objects(
        self,
        operation: str,
        obj_type: str,
        obj_uuids: Sequence[Id],
        field_names: FieldNames,
        missing: Literal["raise", "skip"] = "raise",
    ) -> list[ConfigObject]:
        view = self._session.rules().view(obj_type)
        selection = view.select(field_names)
        uuids = canonical_ids(obj_uuids)

        def work(store: Store) -> list[ConfigObject]:
            rows = [row_of(store, obj_type, uuid) for uuid in uuids]
            gone = [uuid for uuid, row in zip(uuids, rows, strict=True) if row is None]
            if gone and missing == "raise":
                raise changes.not_found(obj_type, *gone)
            return [
                assemble(view, selection, parts_of(store, row, selection))
                for row in rows
                if row is not None
            ]

        return await self._session.read(operation, work)

    async def object_update(
        self,
        obj_type: str,
        obj_uuid: Id,
        new_obj_dict: Mapping[str, Json],
        *,
        expected_revision: int | None = None,
        fence: Fence | None = None,
    ) -> WriteResult:
        with self._session.seam("object_update"):
            rules = self._session.rules()
            write = rules.update(obj_type, obj_uuid, new_obj_dict, expected_revision)
            return await self._session.write("object_update", write, fence)

    async def object_delete(
        self,
        obj_type: str,
        obj_uuid: Id,
        *,
        expected_revision: int | None = None,
        fence: Fence | None = None,
    ) -> WriteResult:
        with self._session.seam("object_delete"):
            write = self._session.rules().delete(obj_type, obj_uuid, expected_revision)
            return await self._session.write("object_delete", write, fence)

    async def object_list(
        self,
        obj_type: str,
        parent_uuids: Sequence[Id] | None = None,
        back_ref_uuids: Sequence[Id] | None = None,
        obj_uuids: Sequence[Id] | None = None,
        count: bool = False,
        filters: Filters | None = None,
        *,
        marker: str | None = None,
        limit: int | None = None,
        field_names: FieldNames = None,
    ) -> Any:
        with self._session.seam("object_list"):
            wanted = self._session.rules().listing(
                obj_type,
                parent_uuids=parent_uuids,
                back_ref_uuids=back_ref_uuids,
                obj_uuids=obj_uuids,
                filters=filters,
                count=count,
                marker=marker,
                limit=limit,
                field_names=field_names,
            )
            if count:
                return await self._session.read(
                    "object_list", lambda store: sum(1 for _ in list_rows(store, wanted))
                )
            return await self._page("object_list", wanted)

    def object_iter(
        self,
        obj_type: str,
        parent_uuids: Sequence[Id] | None = None,
        back_ref_uuids: Sequence[Id] | None = None,
        obj_uuids: Sequence[Id] | None = None,
        filters: Filters | None = None,
        *,
        field_names: FieldNames = None,
        page: int = 500,
    ) -> AsyncIterator[ConfigObject]:
        async def fetch_page(marker: str | None) -> ObjectPage[ConfigObject]:
            with self._session.seam("object_iter"):
                wanted = self._session.rules().listing(
                    obj_type,
                    parent_uuids=parent_uuids,
                    back_ref_uuids=back_ref_uuids,
                    obj_uuids=obj_uuids,
                    filters=filters,
                    marker=marker,
                    limit=page,
                    field_names=field_names,
                    objects=True,
                )
                return await self._page("object_iter", wanted)

        return ObjectPages(fetch_page)

    async def _page(self, operation: str, wanted: Listing) -> ObjectPage[Any]:
        view, selection = self._session.rules().view(wanted.obj_type), wanted.selection

        def item(store: Store, row: Row) -> Any:
            if selection is None:
                return fq_name_of(row.key), row.uuid
            return assemble(view, selection, parts_of(store, row, selection))

        def work(store: Store) -> ObjectPage[Any]:
            found = list_rows(store, wanted)
            rows = list(islice(found, wanted.limit))
            more = wanted.limit is not None and next(found, None) is not None
            marker = marker_after(rows[-1].uuid) if more else None
            return ObjectPage([item(store, row) for row in rows], marker)

        return await self._session.read(operation, work)

    async def object_count_children(self, obj_type: str, obj_uuid: Id, child_type: str) -> int:
        with self._session.seam("object_count_children"):
            self._session.rules().view(obj_type).check_child(child_type)
            uuid = canonical_id(obj_uuid)

            def work(store: Store) -> int:
                if row_of(store, obj_type, uuid) is None:
                    raise changes.not_found(obj_type, uuid)
                children = (store.objects[child] for child in store.children.get(uuid, ()))
                return sum(child.obj_type == child_type for child in children)

            return await self._session.read("object_count_children", work)
