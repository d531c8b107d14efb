"""What a write changes in what is stored: patches, diffs, and the refusals that follow. Pure."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from asyncbackends.errors import (
    CompactedError,
    ConflictError,
    DanglingRefError,
    FqNameNotFoundError,
    FqNameTakenError,
    HasChildrenError,
    InvalidRequestError,
    ObjectExistsError,
    ObjectNotFoundError,
    RevisionConflictError,
    StaleFenceError,
    StillReferencedError,
    UseragentKeyNotFoundError,
)
from asyncbackends.narrowing import is_dict
from asyncbackends.object_model.assembling import StoredObject
from asyncbackends.object_model.values import json_equal
from asyncbackends.object_model.writes import Create, RefTarget, Update
from asyncbackends.protocols.values import Fence, Json
from asyncbackends.schema import NO_PARENT

__all__ = (
    "ElementDiff",
    "RefDiff",
    "check_fence",
    "check_identity",
    "check_revision",
    "create_as_update",
    "dangling_parent",
    "dangling_ref",
    "default_perms2",
    "element_diff",
    "has_children",
    "name_taken",
    "no_useragent_key",
    "not_found",
    "object_exists",
    "only_holder",
    "patched_document",
    "ref_diff",
    "same_content",
    "still_referenced",
    "watch_start",
)

SHOWN = 10

_encode = msgspec.json.Encoder().encode
_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class RefDiff(msgspec.Struct, frozen=True):
    """How stored refs of one target type become the wanted ones."""

    put: dict[str, str]
    """uuid: attr of those to add or change."""
    removed: tuple[str, ...]


class ElementDiff(msgspec.Struct, frozen=True):
    """How the stored elements of one collection become the wanted ones."""

    put: list[tuple[str, str]]
    removed: tuple[str, ...]


def patched_document(document: str, properties: Mapping[str, str | None]) -> str:
    """Set (JSON) and remove (None) properties of a document, whose values are not decoded."""
    if not properties:
        return document
    parts = _decode_parts(document)
    for name, text in properties.items():
        if text is None:
            parts.pop(name, None)
        else:
            parts[name] = msgspec.Raw(text)
    return _encode(parts).decode()


def ref_diff(stored: Mapping[str, str], wanted: Mapping[str, str]) -> RefDiff:
    """Compare refs of one target type, each given as ``{uuid: attr}``."""
    put = {uuid: attr for uuid, attr in wanted.items() if stored.get(uuid) != attr}
    return RefDiff(put, tuple(uuid for uuid in stored if uuid not in wanted))


def element_diff(stored: Mapping[str, str], wanted: Sequence[tuple[str, str]]) -> ElementDiff:
    """Compare the elements of one collection by position or key."""
    put = [(at, text) for at, text in wanted if stored.get(at) != text]
    kept = {at for at, _ in wanted}
    return ElementDiff(put, tuple(at for at in stored if at not in kept))


def check_identity(
    update: Update, key: str, parent_type: str | None, parent_uuid: str | None
) -> None:
    """Refuse an update that alters what cannot change."""
    where = f"{update.obj_type} {update.uuid}"
    if update.key not in {None, key}:
        message = f"{where}: fq_name is {key} and cannot change"
        raise InvalidRequestError(message)
    if update.parent_type not in {None, parent_type or NO_PARENT}:
        message = f"{where}: parent_type is {parent_type or NO_PARENT} and cannot change"
        raise InvalidRequestError(message)
    if update.parent_uuid not in {None, parent_uuid}:
        message = f"{where}: parent_uuid is {parent_uuid} and cannot change"
        raise InvalidRequestError(message)


def check_revision(what: str, expected: int | None, actual: int) -> None:
    """Refuse a write whose expected revision is not the actual one."""
    if expected is not None and expected != actual:
        message = f"{what} is at revision {actual}, not {expected}; read it again"
        raise RevisionConflictError(message, expected=expected, actual=actual)


def watch_start(since: int | None, current: int, compacted: int) -> int:
    """Give the revision that a watch starts behind.

    :param compacted: the last revision whose change is no longer kept.
    """
    if since is None:
        return current
    if since > current:
        message = (
            f"since={since} is ahead of this database, which is at {current}: it was restored from "
            f"a backup, or the revision is another database's"
        )
        raise InvalidRequestError(message)
    if since < compacted:
        message = f"the changes after {since} are gone; they are kept after {compacted}"
        raise CompactedError(message, oldest=compacted)
    return since


def check_fence(fence: Fence, highest: tuple[int, int] | None) -> None:
    """Refuse a fence below the highest that was seen under its name."""
    if highest is not None and fence.order < highest:
        message = (
            f"fence {fence.name!r} {fence.order} is stale: the database has seen {highest}; "
            f"somebody else holds the lock or the term now"
        )
        raise StaleFenceError(message, name=fence.name, fence=fence.order, highest=highest)


def same_content(create: Create, stored: StoredObject, refs: Iterable[RefTarget]) -> bool:
    """Say whether a repeated create asks for what is there.

    :param refs: the create's refs with their uuids found.
    """
    decode = msgspec.json.decode
    elements = {(f, at): text for f, items in create.elements.items() for at, text in items}
    there = {(field, at): text for field, at, text in stored.elements}
    wanted_refs = {(ref.to_type, ref.uuid): ref.attr for ref in refs}
    stored_refs: dict[tuple[str, str | None], str] = {
        (to_type, uuid): attr for to_type, uuid, _, attr in stored.refs
    }
    parent = (create.parent_type, create.parent_uuid or stored.parent_uuid)
    return (
        (create.obj_type, create.key) == (stored.obj_type, stored.key)
        and parent == (stored.parent_type, stored.parent_uuid)
        and json_equal(decode(create.document), decode(stored.document))
        and elements.keys() == there.keys()
        and all(json_equal(decode(text), decode(there[at])) for at, text in elements.items())
        and wanted_refs.keys() == stored_refs.keys()
        and all(
            json_equal(decode(attr), decode(stored_refs[ref])) for ref, attr in wanted_refs.items()
        )
    )


def create_as_update(create: Create) -> Update:
    """Give the update that a create over an existing object means under ``integrity = legacy``."""
    return Update(
        obj_type=create.obj_type,
        uuid=create.uuid,
        key=create.key,
        parent_type=None,
        parent_uuid=None,
        properties={n: bytes(raw).decode() for n, raw in _decode_parts(create.document).items()},
        index=dict(create.index),
        elements=create.elements,
        refs=create.refs,
        expected_revision=None,
    )


def not_found(obj_type: str, *uuids: str) -> ObjectNotFoundError:
    """Say that there are no objects of that type with these ids."""
    shown = ", ".join(uuids[:SHOWN]) + (f" and {len(uuids) - SHOWN} more" if uuids[SHOWN:] else "")
    return ObjectNotFoundError(f"there is no {obj_type} {shown}")


def object_exists(create: Create, stored: StoredObject) -> ObjectExistsError:
    """Say that the id is taken."""
    return ObjectExistsError(
        f"{create.uuid} exists already with other content: {stored.obj_type} {stored.key}"
    )


def name_taken(create: Create, holder: str) -> FqNameTakenError:
    """Say that the name is taken."""
    return FqNameTakenError(f"{create.obj_type} {create.key} exists as {holder}", holder=holder)


def dangling_parent(create: Create) -> DanglingRefError:
    """Say that the parent does not exist."""
    parent = create.parent_uuid or create.parent_key
    return DanglingRefError(
        f"{create.obj_type} {create.uuid}: its parent, {create.parent_type} {parent}, does not exist"
    )


def dangling_ref(obj_type: str, uuid: str, ref: RefTarget) -> DanglingRefError:
    """Say that the target of a ref does not exist."""
    names = " named ".join(name for name in (ref.uuid, ref.key) if name is not None)
    return DanglingRefError(
        f"{obj_type} {uuid} refers to {ref.to_type} {names}, which does not exist"
    )


def has_children(obj_type: str, uuid: str, children: Sequence[tuple[str, str]]) -> HasChildrenError:
    """Say that an object cannot be deleted before its children, given as (type, uuid)."""
    shown = ", ".join(f"{child_type} {child}" for child_type, child in children[:SHOWN])
    return HasChildrenError(
        f"{obj_type} {uuid} still has children: {shown}", children=[child for _, child in children]
    )


def still_referenced(
    obj_type: str, uuid: str, holders: Sequence[tuple[str, str]]
) -> StillReferencedError:
    """Say that an object cannot be deleted while others, given as (type, uuid), refer to it."""
    shown = ", ".join(f"{holder_type} {holder}" for holder_type, holder in holders[:SHOWN])
    return StillReferencedError(
        f"{obj_type} {uuid} is still referenced by {shown}",
        holders=sorted(holder for _, holder in holders),
    )


def only_holder(obj_type: str, key: str, uuids: Sequence[str]) -> str:
    """Give the one object that has a name.

    :raises FqNameNotFoundError: none has.
    :raises ConflictError: several have.
    """
    if not uuids:
        message = f"there is no {obj_type} {key}"
        raise FqNameNotFoundError(message)
    if len(uuids) > 1:
        message = f"several {obj_type} are named {key}: {', '.join(uuids[:SHOWN])}"
        raise ConflictError(message)
    return uuids[0]


def no_useragent_key(key: str) -> UseragentKeyNotFoundError:
    """Say that the useragent store has no such key."""
    return UseragentKeyNotFoundError(f"there is no useragent key {key!r}")


def default_perms2(properties: Mapping[str, Json]) -> dict[str, Json]:
    """Give the perms2 of an object that has none."""
    owner = ""
    id_perms = properties.get("id_perms")
    permissions = id_perms.get("permissions") if is_dict(id_perms) else None
    if is_dict(permissions):
        owner = permissions.get("owner") or ""
    return {"owner": owner, "owner_access": 7, "global_access": 0, "share": []}
