"""The narrow Protocol for objects: create, read, update, delete, list."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias, overload

from asyncbackends.protocols.values import (
    AllFields,
    ConfigObject,
    Fence,
    FieldNames,
    Id,
    Json,
    ObjectPage,
    WriteResult,
)

__all__ = ("Filters", "NewObject", "Objects")

Filters: TypeAlias = Mapping[str, Sequence[Json]]
NewObject: TypeAlias = tuple[str, Id, Mapping[str, Json]]


class Objects(Protocol):
    """Objects with a parent, references, properties and a name.

    Every method raises InvalidRequestError for a type that the schema does not have, a malformed
    id, or a value that breaks a rule, before anything is sent; and BackendClosedError,
    OperationTimeoutError, ConnectionLostError as every call on a backend does. The source of the
    semantics is the observed behaviour of OpenContrail's database layer, made strict: what it
    left to its callers (unique names, existing targets, refused deletes) is enforced here.
    """

    async def object_create(
        self,
        obj_type: str,
        obj_uuid: Id,
        obj_dict: Mapping[str, Json],
        *,
        fence: Fence | None = None,
    ) -> WriteResult:
        """Create an object with its properties, collections and refs in one atomic write.

        The caller owns the id. Creating again with the same id and equal content returns the
        result of the first time and writes nothing: so a create whose outcome is unknown is
        repeated. The parent is ``parent_uuid``, or the object of ``parent_type`` whose name is
        ``fq_name`` without its last part; ``parent_type`` may be left out where the type has one
        parent type. A ref is ``{'uuid'}``, ``{'to': fq_name}`` or both, and optionally ``attr``.
        None and empty collections are the same as an absent key.

        :raises ObjectExistsError: the id is taken by an object with other content.
        :raises FqNameTakenError: the name is taken; ``holder`` is the uuid that has it.
        :raises DanglingRefError: the parent or the target of a ref does not exist.
        :raises StaleFenceError: the database has seen a higher fence; nothing was written.
        """
        ...

    async def object_create_many(
        self, objects: Sequence[NewObject], *, fence: Fence | None = None
    ) -> list[WriteResult]:
        """Create many objects, results in the order given.

        An object may refer to, or be a child of, one that stands before it. Atomic with
        ATOMIC_BATCH; otherwise one after another, and ``created`` of the error says what is there.

        :raises TransactionFailedError: the object at ``index`` was refused with ``error``.
        :raises StaleFenceError: as in :meth:`object_create`.
        """
        ...

    async def object_get(
        self, obj_type: str, obj_uuid: Id, field_names: FieldNames = None
    ) -> ConfigObject:
        """Read one object.

        :param field_names: None for properties and refs; names for these beside ``uuid``,
            ``fq_name``, ``parent_type`` and ``parent_uuid``; ALL_FIELDS for back refs and children
            too. Back refs and children come only when asked for: a project may have 10 000.
        :returns: refs, back refs (``to``, ``uuid``, ``attr``) and children (``to``, ``uuid``) are
            ordered by uuid, lists by position, maps by key.
        :raises ObjectNotFoundError: there is no object of that type with that id.
        """
        ...

    async def object_read(
        self,
        obj_type: str,
        obj_uuids: Sequence[Id],
        field_names: FieldNames = None,
        *,
        missing: Literal["raise", "skip"] = "raise",
    ) -> list[ConfigObject]:
        """Read many objects in one round trip, in the order of the request.

        :param field_names: as in :meth:`object_get`.
        :param missing: what to do about an id without an object of that type.
        :raises ObjectNotFoundError: one is missing and ``missing`` is ``"raise"``.
        """
        ...

    async def object_raw_read(
        self, obj_type: str, obj_uuids: Sequence[Id], prop_names: Sequence[str]
    ) -> list[ConfigObject]:
        """Read some properties: ``uuid`` and those of ``prop_names`` that the object has.

        In the order of the request; missing objects are left out. Collections are not read
        (:meth:`.PropertyCollections.prop_collection_read` does).
        """
        ...

    async def object_update(
        self,
        obj_type: str,
        obj_uuid: Id,
        new_obj_dict: Mapping[str, Json],
        *,
        expected_revision: int | None = None,
        fence: Fence | None = None,
    ) -> WriteResult:
        """Change an object in one atomic write.

        An absent key is untouched, None removes, a collection or a ``<type>_refs`` key replaces
        the whole of it (a list is numbered anew from '0'). ``uuid``, ``fq_name``, ``parent_type``
        and ``parent_uuid`` may be repeated, not altered.

        :param expected_revision: write only if the object is still at this revision.
        :raises ObjectNotFoundError: there is no object of that type with that id.
        :raises RevisionConflictError: it is at another revision; nothing was written.
        :raises DanglingRefError: the target of a ref does not exist.
        :raises StaleFenceError: as in :meth:`object_create`.
        """
        ...

    async def object_delete(
        self,
        obj_type: str,
        obj_uuid: Id,
        *,
        expected_revision: int | None = None,
        fence: Fence | None = None,
    ) -> WriteResult:
        """Delete an object with its refs, its relaxed back refs, its shares and its side of same-type refs.

        :raises ObjectNotFoundError: there is no object of that type with that id.
        :raises HasChildrenError: it has children.
        :raises StillReferencedError: others refer to it and did not relax that
            (:meth:`.References.ref_relax_for_delete`); ``holders`` names them.
        :raises RevisionConflictError: as in :meth:`object_update`.
        :raises StaleFenceError: as in :meth:`object_create`.
        """
        ...

    @overload
    async def object_list(
        self,
        obj_type: str,
        parent_uuids: Sequence[Id] | None = None,
        back_ref_uuids: Sequence[Id] | None = None,
        obj_uuids: Sequence[Id] | None = None,
        count: Literal[False] = False,
        filters: Filters | None = None,
        *,
        marker: str | None = None,
        limit: int | None = None,
        field_names: None = None,
    ) -> ObjectPage[tuple[list[str], str]]: ...

    @overload
    async def object_list(
        self,
        obj_type: str,
        parent_uuids: Sequence[Id] | None = None,
        back_ref_uuids: Sequence[Id] | None = None,
        obj_uuids: Sequence[Id] | None = None,
        count: Literal[False] = False,
        filters: Filters | None = None,
        *,
        marker: str | None = None,
        limit: int | None = None,
        field_names: Sequence[str] | AllFields,
    ) -> ObjectPage[ConfigObject]: ...

    @overload
    async def object_list(
        self,
        obj_type: str,
        parent_uuids: Sequence[Id] | None = None,
        back_ref_uuids: Sequence[Id] | None = None,
        obj_uuids: Sequence[Id] | None = None,
        *,
        count: Literal[True],
        filters: Filters | None = None,
    ) -> int: ...

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
    ) -> ObjectPage[tuple[list[str], str]] | ObjectPage[ConfigObject] | int:
        """List the objects of a type, in the order of their uuids' text.

        All restrictions hold together; an empty sequence restricts to nothing, None not at all.

        :param parent_uuids: only children of these.
        :param back_ref_uuids: only objects that refer to these.
        :param obj_uuids: only these.
        :param count: give the number of objects instead; takes neither marker nor limit.
        :param filters: ``{property: [values]}``: every property must equal one of its values; a
            dict value matches when its items are contained. Indexed properties are looked up, the
            others are read.
        :param marker: the ``marker`` of the page before.
        :param limit: at most so many items; None is everything.
        :param field_names: give objects with these fields (as in :meth:`object_get`) instead of
            ``(fq_name, uuid)`` pairs.
        :raises InvalidRequestError: also for an unknown filter, a marker of something else, a
            limit below 1.
        """
        ...

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
        """Iterate over objects in pages of ``page``, in the order of :meth:`object_list`.

        Each page is one state, the whole iteration is not: an object that is there all the time
        comes exactly once. Nothing is held on the server between pages.
        """
        ...

    async def object_count_children(self, obj_type: str, obj_uuid: Id, child_type: str) -> int:
        """Count an object's children of one type.

        :raises ObjectNotFoundError: there is no object of that type with that id.
        :raises InvalidRequestError: also when ``child_type`` cannot be a child of ``obj_type``.
        """
        ...
