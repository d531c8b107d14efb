"""Collections, names, references, sharing."""

from collections.abc import Mapping, Sequence

from asyncbackends.object_model import changes
from asyncbackends.object_model.assembling import collection
from asyncbackends.object_model.tables import find_name, row_of
from asyncbackends.object_model.values import canonical_id, canonical_ids, fq_key, fq_name_of
from asyncbackends.object_model.writes import Relax
from asyncbackends.protocols.values import (
    CollectionUpdate,
    Fence,
    Id,
    Json,
    RefOperation,
    WriteResult,
)
from asyncbackends_memory.session import Session
from asyncbackends_memory.store import Store

__all__ = ("MemoryRelations",)


class MemoryRelations:
    """Implements the Protocols of :mod:`asyncbackends.protocols.relations`."""

    _session: Session

    async def prop_collection_read(
        self, obj_type: str, obj_uuid: Id, obj_fields: Sequence[str], position: str | None = None
    ) -> dict[str, list[tuple[Json, str]]]:
        with self._session.seam("prop_collection_read"):
            view, uuid = self._session.rules().view(obj_type), canonical_id(obj_uuid)
            view.check_collections(obj_fields)

            def work(store: Store) -> dict[str, list[tuple[Json, str]]]:
                row = row_of(store, obj_type, uuid)
                if row is None:
                    raise changes.not_found(obj_type, uuid)
                return {
                    field: collection(
                        view,
                        field,
                        [
                            element
                            for element in row.elements.get(field, {}).items()
                            if position in {None, element[0]}
                        ],
                    )
                    for field in obj_fields
                }

            return await self._session.read("prop_collection_read", work)

    async def prop_collection_update(
        self,
        obj_type: str,
        obj_uuid: Id,
        updates: Sequence[CollectionUpdate],
        *,
        expected_revision: int | None = None,
        fence: Fence | None = None,
    ) -> WriteResult:
        with self._session.seam("prop_collection_update"):
            rules = self._session.rules()
            write = rules.element_update(obj_type, obj_uuid, updates, expected_revision)
            return await self._session.write("prop_collection_update", write, fence)

    async def fq_name_to_uuid(self, obj_type: str, fq_name: Sequence[str]) -> str:
        with self._session.seam("fq_name_to_uuid"):
            rules = self._session.rules()
            rules.view(obj_type)
            key = fq_key(fq_name, rules.limits.fq_name_bytes)
            found = await self._session.read(
                "fq_name_to_uuid", lambda store: find_name(store, obj_type, key)
            )
            return changes.only_holder(obj_type, key, found)

    async def fq_names_to_uuids(
        self, obj_type: str, fq_names: Sequence[Sequence[str]]
    ) -> dict[tuple[str, ...], str]:
        with self._session.seam("fq_names_to_uuids"):
            rules = self._session.rules()
            rules.view(obj_type)
            keyed = [(fq_key(name, rules.limits.fq_name_bytes), name) for name in fq_names]
            keys = {tuple(name): key for key, name in keyed}

            def work(store: Store) -> dict[tuple[str, ...], str]:
                found = {name: find_name(store, obj_type, key) for name, key in keys.items()}
                return {
                    name: changes.only_holder(obj_type, keys[name], uuids)
                    for name, uuids in found.items()
                    if uuids
                }

            return await self._session.read("fq_names_to_uuids", work)

    async def uuid_to_fq_name(self, obj_uuid: Id) -> list[str]:
        with self._session.seam("uuid_to_fq_name"):
            row = await self._session.object_row("uuid_to_fq_name", obj_uuid)
            return fq_name_of(row.key)

    async def uuids_to_fq_names(self, obj_uuids: Sequence[Id]) -> dict[str, list[str]]:
        with self._session.seam("uuids_to_fq_names"):
            uuids = canonical_ids(obj_uuids)
            return await self._session.read(
                "uuids_to_fq_names",
                lambda store: {
                    uuid: fq_name_of(store.objects[uuid].key)
                    for uuid in uuids
                    if uuid in store.objects
                },
            )

    async def uuid_to_obj_type(self, obj_uuid: Id) -> str:
        with self._session.seam("uuid_to_obj_type"):
            return (await self._session.object_row("uuid_to_obj_type", obj_uuid)).obj_type

    async def ref_update(
        self,
        obj_type: str,
        obj_uuid: Id,
        ref_obj_type: str,
        ref_uuid: Id,
        ref_data: Mapping[str, Json] | None,
        operation: RefOperation,
        *,
        relax_for_delete: bool = False,
        expected_revision: int | None = None,
        fence: Fence | None = None,
    ) -> WriteResult:
        with self._session.seam("ref_update"):
            write = self._session.rules().ref_update(
                obj_type,
                obj_uuid,
                ref_obj_type,
                ref_uuid,
                ref_data,
                operation,
                relax=relax_for_delete,
                expected_revision=expected_revision,
            )
            return await self._session.write("ref_update", write, fence)

    async def create_ref(
        self,
        obj_type: str,
        obj_uuid: Id,
        ref_obj_type: str,
        ref_uuid: Id,
        ref_data: Mapping[str, Json] | None = None,
        *,
        relax_for_delete: bool = False,
        expected_revision: int | None = None,
        fence: Fence | None = None,
    ) -> WriteResult:
        return await self.ref_update(
            obj_type,
            obj_uuid,
            ref_obj_type,
            ref_uuid,
            ref_data,
            "ADD",
            relax_for_delete=relax_for_delete,
            expected_revision=expected_revision,
            fence=fence,
        )

    async def delete_ref(
        self,
        obj_type: str,
        obj_uuid: Id,
        ref_obj_type: str,
        ref_uuid: Id,
        *,
        expected_revision: int | None = None,
        fence: Fence | None = None,
    ) -> WriteResult:
        return await self.ref_update(
            obj_type,
            obj_uuid,
            ref_obj_type,
            ref_uuid,
            None,
            "DELETE",
            expected_revision=expected_revision,
            fence=fence,
        )

    async def ref_relax_for_delete(self, obj_uuid: Id, ref_uuid: Id) -> None:
        with self._session.seam("ref_relax_for_delete"):
            write = Relax(canonical_id(obj_uuid), canonical_id(ref_uuid))
            await self._session.write("ref_relax_for_delete", write)

    async def get_relaxed_refs(self, obj_uuid: Id) -> list[str]:
        with self._session.seam("get_relaxed_refs"):
            uuid = canonical_id(obj_uuid)
            return await self._session.read(
                "get_relaxed_refs",
                lambda store: sorted(
                    holder
                    for holder in store.holders.get(uuid, ())
                    if store.objects[holder].refs[uuid].relaxed
                ),
            )

    async def get_shared(
        self, obj_type: str, share_id: str = "", share_type: str = "global"
    ) -> list[tuple[str, int]]:
        with self._session.seam("get_shared"):
            self._session.rules().view(obj_type)
            key = (obj_type, share_type, share_id)
            return await self._session.read(
                "get_shared", lambda store: sorted(store.shares.get(key, {}).items())
            )

    async def set_shared(
        self,
        obj_type: str,
        obj_id: Id,
        share_id: str = "",
        share_type: str = "global",
        rwx: int = 7,
    ) -> None:
        with self._session.seam("set_shared"):
            write = self._session.rules().share(obj_type, obj_id, share_id, share_type, rwx)
            await self._session.write("set_shared", write)

    async def del_shared(
        self, obj_type: str, obj_id: Id, share_id: str = "", share_type: str = "global"
    ) -> None:
        with self._session.seam("del_shared"):
            write = self._session.rules().end_of_share(obj_type, obj_id, share_id, share_type)
            await self._session.write("del_shared", write)
