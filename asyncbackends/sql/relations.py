"""Collections, names, references, sharing."""

from collections.abc import Mapping, Sequence

from asyncbackends.object_model import changes
from asyncbackends.object_model.assembling import collection
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
from asyncbackends.sql.reading import (
    assembled,
    elements_alone,
    elements_by_field,
    objects_statement,
    wanted_parts,
)
from asyncbackends.sql.session import Session

__all__ = ("SqlRelations",)


class SqlRelations:
    """Implements the Protocols of :mod:`asyncbackends.protocols.relations`."""

    _session: Session

    async def prop_collection_read(
        self, obj_type: str, obj_uuid: Id, obj_fields: Sequence[str], position: str | None = None
    ) -> dict[str, list[tuple[Json, str]]]:
        session = self._session
        with session.seam("prop_collection_read"):
            view, uuid = session.rules().view(obj_type), canonical_id(obj_uuid)
            view.check_collections(obj_fields)
            parts = wanted_parts(view, elements_alone(obj_fields))
            rows = await session.read(*objects_statement(session.sql, parts, [uuid]))
            stored = assembled(view, rows).get(uuid)
            if stored is None:
                raise changes.not_found(obj_type, uuid)
            return {
                field: collection(
                    view, field, [item for item in items if position in {None, item[0]}]
                )
                for field, items in elements_by_field(stored, obj_fields).items()
            }

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
            return await self._session.write(write, fence)

    async def fq_name_to_uuid(self, obj_type: str, fq_name: Sequence[str]) -> str:
        session = self._session
        with session.seam("fq_name_to_uuid"):
            rules = session.rules()
            rules.view(obj_type)
            key = fq_key(fq_name, rules.limits.fq_name_bytes)
            rows = await session.read(session.sql.ids_of_name, (obj_type, key))
            return changes.only_holder(obj_type, key, sorted([row[0] for row in rows]))

    async def fq_names_to_uuids(
        self, obj_type: str, fq_names: Sequence[Sequence[str]]
    ) -> dict[tuple[str, ...], str]:
        session = self._session
        with session.seam("fq_names_to_uuids"):
            rules = session.rules()
            rules.view(obj_type)
            keyed = [(fq_key(name, rules.limits.fq_name_bytes), name) for name in fq_names]
            keys = {tuple(name): key for key, name in keyed}
            if not keys:
                return {}
            distinct = sorted(set(keys.values()))
            rows = await session.read(session.sql.ids_of_names, (obj_type, distinct))
            found: dict[str, list[str]] = {}
            for key, uuid in sorted([(row[0], row[1]) for row in rows]):
                found.setdefault(key, []).append(uuid)
            return {
                name: changes.only_holder(obj_type, key, found[key])
                for name, key in keys.items()
                if key in found
            }

    async def uuid_to_fq_name(self, obj_uuid: Id) -> list[str]:
        with self._session.seam("uuid_to_fq_name"):
            return fq_name_of((await self._identity(obj_uuid))[1])

    async def uuids_to_fq_names(self, obj_uuids: Sequence[Id]) -> dict[str, list[str]]:
        session = self._session
        with session.seam("uuids_to_fq_names"):
            uuids = list(dict.fromkeys(canonical_ids(obj_uuids)))
            if not uuids:
                session.check()
                return {}
            rows = await session.read(session.sql.names_of_ids, (session.sql.ids(uuids),))
            return {uuid: fq_name_of(key) for uuid, key in rows}

    async def uuid_to_obj_type(self, obj_uuid: Id) -> str:
        with self._session.seam("uuid_to_obj_type"):
            return (await self._identity(obj_uuid))[0]

    async def _identity(self, obj_uuid: Id) -> tuple[str, str]:
        uuid, sql = canonical_id(obj_uuid), self._session.sql
        rows = await self._session.read(sql.identity, (sql.id(uuid),))
        if not rows:
            raise changes.not_found("object", uuid)
        obj_type, key = rows[0]
        return obj_type, key

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
            return await self._session.write(write, fence)

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
            await self._session.write(write)

    async def get_relaxed_refs(self, obj_uuid: Id) -> list[str]:
        with self._session.seam("get_relaxed_refs"):
            uuid, sql = canonical_id(obj_uuid), self._session.sql
            rows = await self._session.read(sql.relaxed, (sql.id(uuid),))
            return [row[0] for row in rows]

    async def get_shared(
        self, obj_type: str, share_id: str = "", share_type: str = "global"
    ) -> list[tuple[str, int]]:
        with self._session.seam("get_shared"):
            self._session.rules().view(obj_type)
            key, statement = (obj_type, share_type, share_id), self._session.sql.shares
            return [(uuid, rwx) for uuid, rwx in await self._session.read(statement, key)]

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
            await self._session.write(write)

    async def del_shared(
        self, obj_type: str, obj_id: Id, share_id: str = "", share_type: str = "global"
    ) -> None:
        with self._session.seam("del_shared"):
            write = self._session.rules().end_of_share(obj_type, obj_id, share_id, share_type)
            await self._session.write(write)
