"""The narrow Protocols around objects: collections, names, references, sharing."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from asyncbackends.protocols.values import (
    CollectionUpdate,
    Fence,
    Id,
    Json,
    RefOperation,
    WriteResult,
)

__all__ = ("FqNames", "PropertyCollections", "References", "Sharing")


class PropertyCollections(Protocol):
    """Properties that are lists or maps, read and changed by element.

    Positions are stable strings: a whole write numbers '0', '1', ...; all-digit positions sort
    as numbers, before the others, which sort as text. Deleting leaves the others alone. A map's
    elements are identified by their key field and sort by it as text.
    """

    async def prop_collection_read(
        self, obj_type: str, obj_uuid: Id, obj_fields: Sequence[str], position: str | None = None
    ) -> dict[str, list[tuple[Json, str]]]:
        """Read collections as ``{field: [(value, position or key)]}``, in order.

        :param position: only the element there; [] when there is none. An empty string is a
            position like any other, never "all".
        :raises InvalidRequestError: also for a field that is not a list or map property.
        :raises ObjectNotFoundError: there is no object of that type with that id.
        """
        ...

    async def prop_collection_update(
        self,
        obj_type: str,
        obj_uuid: Id,
        updates: Sequence[CollectionUpdate],
        *,
        expected_revision: int | None = None,
        fence: Fence | None = None,
    ) -> WriteResult:
        """Change elements, in order, as one atomic write; its cost does not grow with the collection.

        :raises InvalidRequestError: also for an unknown operation or one of the other kind.
        :raises ObjectNotFoundError: there is no object of that type with that id.
        :raises RevisionConflictError: as in :meth:`.Objects.object_update`.
        :raises StaleFenceError: as in :meth:`.Objects.object_create`.
        """
        ...


class FqNames(Protocol):
    """Names and ids. An fq_name is 1 to 32 non-empty parts of any characters, unique per type."""

    async def fq_name_to_uuid(self, obj_type: str, fq_name: Sequence[str]) -> str:
        """Find the uuid of the object with exactly that name.

        :raises FqNameNotFoundError: no object of that type has it.
        :raises ConflictError: several have it (possible only after ``integrity = legacy`` writes).
        """
        ...

    async def fq_names_to_uuids(
        self, obj_type: str, fq_names: Sequence[Sequence[str]]
    ) -> dict[tuple[str, ...], str]:
        """Find many in one round trip; absent names are absent keys."""
        ...

    async def uuid_to_fq_name(self, obj_uuid: Id) -> list[str]:
        """Find an object's name.

        :raises ObjectNotFoundError: there is no object with that id.
        """
        ...

    async def uuids_to_fq_names(self, obj_uuids: Sequence[Id]) -> dict[str, list[str]]:
        """Find many in one round trip; absent ids are absent keys."""
        ...

    async def uuid_to_obj_type(self, obj_uuid: Id) -> str:
        """Find an object's type.

        :raises ObjectNotFoundError: there is no object with that id.
        """
        ...


class References(Protocol):
    """References between objects.

    A reference between two objects of one type is stored on both sides, as a ref on each, with
    the same ``attr``; the other end is a peer in the result.
    """

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
        """Add or delete one reference.

        ``ADD`` replaces the ``attr`` of one that is there; ``DELETE`` of one that is not there
        changes nothing and gives the object's present revision: both can be repeated.

        :param ref_data: ``{'attr': value}``, or None for a ref without attr.
        :param relax_for_delete: also let the target be deleted despite this ref.
        :raises ObjectNotFoundError: there is no object of ``obj_type`` with ``obj_uuid``.
        :raises DanglingRefError: ADD, and there is no object of ``ref_obj_type`` with ``ref_uuid``.
        :raises RevisionConflictError: as in :meth:`.Objects.object_update`.
        :raises StaleFenceError: as in :meth:`.Objects.object_create`.
        """
        ...

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
        """The same as :meth:`ref_update` with ``ADD``."""
        ...

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
        """The same as :meth:`ref_update` with ``DELETE``."""
        ...

    async def ref_relax_for_delete(self, obj_uuid: Id, ref_uuid: Id) -> None:
        """Let ``ref_uuid`` be deleted although ``obj_uuid`` refers to it; the ref goes with it.

        :raises NotFoundError: there is no such object, or it holds no such ref.
        """
        ...

    async def get_relaxed_refs(self, obj_uuid: Id) -> list[str]:
        """Give the uuids of the holders that relaxed their ref to this object, sorted.

        [] when there is none, or no such object.
        """
        ...


class Sharing(Protocol):
    """Which objects are shared with whom. Kept by the caller; deleting an object ends its shares."""

    async def get_shared(
        self, obj_type: str, share_id: str = "", share_type: str = "global"
    ) -> list[tuple[str, int]]:
        """Give (uuid, rwx) of the objects shared with ``share_type:share_id``, ordered by uuid."""
        ...

    async def set_shared(
        self,
        obj_type: str,
        obj_id: Id,
        share_id: str = "",
        share_type: str = "global",
        rwx: int = 7,
    ) -> None:
        """Share an object, or change its permissions.

        :param rwx: octal Unix permissions, 0 to 7.
        :raises ObjectNotFoundError: there is no object of that type with that id.
        """
        ...

    async def del_shared(
        self, obj_type: str, obj_id: Id, share_id: str = "", share_type: str = "global"
    ) -> None:
        """End a share; nothing happens when there is none."""
        ...
