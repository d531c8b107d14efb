"""Objects: create, read, update, delete, list."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

from asyncbackends.object_model import changes
from asyncbackends.object_model.assembling import assemble, without_identity
from asyncbackends.object_model.values import canonical_id, canonical_ids
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
from asyncbackends.sql.paging import Lister
from asyncbackends.sql.reading import assembled
from asyncbackends.sql.session import Session

__all__ = ("SqlObjects",)


class SqlObjects:
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
            return await self._session.write(write, fence)

    async def object_create_many(
        self, objects: Sequence[NewObject], *, fence: Fence | None = None
    ) -> list[WriteResult]:
        with self._session.seam("object_create_many"):
            rules = self._session.rules()
            writes = [rules.create(*new) for new in objects]
            return await self._session.apply(writes, fence)

    async def object_get(
        self, obj_type: str, obj_uuid: Id, field_names: FieldNames = None
    ) -> ConfigObject:
        with self._session.seam("object_get"):
            session = self._session
            reading = session.reading(obj_type, field_names)
            uuid = canonical_id(obj_uuid)
            found = assembled(reading.view, await session.read(*reading.one(uuid)))
            if not found:
                raise changes.not_found(obj_type, uuid)
            return assemble(reading.view, reading.selection, found[uuid])

    async def object_read(
        self,
        obj_type: str,
        obj_uuids: Sequence[Id],
        field_names: FieldNames = None,
        *,
        missing: Literal["raise", "skip"] = "raise",
    ) -> list[ConfigObject]:
        with self._session.seam("object_read"):
            return await self._objects(obj_type, obj_uuids, field_names, missing)

    async def object_raw_read(
        self, obj_type: str, obj_uuids: Sequence[Id], prop_names: Sequence[str]
    ) -> list[ConfigObject]:
        with self._session.seam("object_raw_read"):
            self._session.rules().view(obj_type).check_properties(prop_names)
            found = await self._objects(obj_type, obj_uuids, prop_names, "skip")
            return [without_identity(item) for item in found]

    async def _objects(
        self,
        obj_type: str,
        obj_uuids: Sequence[Id],
        field_names: FieldNames,
        missing: Literal["raise", "skip"] = "raise",
    ) -> list[ConfigObject]:
        session = self._session
        reading = session.reading(obj_type, field_names)
        view, selection = reading.view, reading.selection
        uuids = canonical_ids(obj_uuids)
        if not uuids:
            return []
        distinct = uuids if len(uuids) == 1 else list(dict.fromkeys(uuids))
        found = assembled(view, await session.read(*reading.several(distinct)))
        if len(found) < len(distinct) and missing == "raise":
            gone = [uuid for uuid in uuids if uuid not in found]
            raise changes.not_found(obj_type, *gone)
        return [assemble(view, selection, found[uuid]) for uuid in uuids if uuid in found]

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
            return await self._session.write(write, fence)

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
            return await self._session.write(write, fence)

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
            lister = Lister(self._session, wanted)
            return await (lister.count() if count else lister.page())

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
                return await Lister(self._session, wanted).page()

        return ObjectPages(fetch_page)

    async def object_count_children(self, obj_type: str, obj_uuid: Id, child_type: str) -> int:
        with self._session.seam("object_count_children"):
            self._session.rules().view(obj_type).check_child(child_type)
            uuid, sql = canonical_id(obj_uuid), self._session.sql
            given = sql.id(uuid)
            rows = await self._session.read(
                sql.count_children, (given, obj_type, given, child_type)
            )
            there, children = rows[0]
            if not there:
                raise changes.not_found(obj_type, uuid)
            return int(children)
