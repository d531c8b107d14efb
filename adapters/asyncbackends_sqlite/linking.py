"""Writes refs: their targets, the other ends of same-type ones, and the ones that dangle."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from asyncbackends.errors import InvalidRequestError
from asyncbackends.object_model import changes
from asyncbackends.object_model.writes import RefTarget
from asyncbackends_sqlite.statements import packed_ids, text_id
from asyncbackends_sqlite.unit import UPDATED, Unit

__all__ = (
    "Holder",
    "Peers",
    "Target",
    "attach_dangling",
    "find_target",
    "link_new",
    "put_ref",
    "remove_ref",
    "replace_refs",
    "save_peers",
    "texts",
)


class Holder(NamedTuple):
    """The object whose refs are written."""

    id: int
    uuid: bytes
    obj_type: str
    key: str

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"{self.obj_type} {text_id(self.uuid)}"


class Target(NamedTuple):
    """An object that a ref leads to; without id and key it is missing."""

    uuid: bytes
    obj_type: str
    id: int | None
    key: str | None


Peers = dict[bytes, str | None]
"""What becomes of the other ends of same-type refs: attr, or None to remove."""


def find_target(unit: Unit, obj_type: str, uuid: str, ref: RefTarget, *, strict: bool) -> Target:
    """Find the target of a ref of an object.

    :raises DanglingRefError: there is none; legacy refs by uuid may dangle.
    :raises InvalidRequestError: its uuid and its name are two objects'.
    """
    if ref.uuid is None:
        row = unit.execute(unit.sql.by_name, (ref.to_type, ref.key)).fetchone()
    else:
        row = unit.execute(unit.sql.by_uuid, (packed_ids([ref.uuid]), ref.to_type)).fetchone()
    if row is not None:
        number, target, key = row
        if ref.key not in {None, key}:
            message = (
                f"{obj_type} {uuid} refers to {ref.to_type} {ref.uuid} as {ref.key}, "
                f"and its name is {key}"
            )
            raise InvalidRequestError(message)
        return Target(target, ref.to_type, number, key)
    if ref.uuid is None or strict:
        raise changes.dangling_ref(obj_type, uuid, ref)
    return Target(packed_ids([ref.uuid]), ref.to_type, None, None)


def link_new(
    unit: Unit, holder: Holder, wanted: Mapping[str, Sequence[RefTarget]], *, strict: bool
) -> Peers:
    """Write the refs of a new object; gives what to save at the other ends."""
    rows = [
        (holder.id, holder.obj_type, holder.uuid, holder.key, ref.attr, packed_ids([ref.uuid]), to)
        for to, refs in wanted.items()
        for ref in refs
        if ref.uuid is not None and ref.key is None
    ]
    plain = strict and holder.obj_type not in wanted
    if not plain or len(rows) != sum(map(len, wanted.values())):
        return replace_refs(unit, holder, wanted, strict=strict)
    try:
        unit.cursor.executemany(unit.sql.new_ref, rows)
    except sqlite3.IntegrityError:
        return replace_refs(unit, holder, wanted, strict=strict)
    if unit.cursor.rowcount != len(rows):
        for refs in wanted.values():
            for ref in refs:
                find_target(unit, holder.obj_type, text_id(holder.uuid), ref, strict=strict)
    return {}


def replace_refs(
    unit: Unit, holder: Holder, wanted: Mapping[str, Sequence[RefTarget]], *, strict: bool
) -> Peers:
    """Make these all the refs of an object to each of these types."""
    peers: Peers = {}
    if not wanted:
        return peers
    uuid = text_id(holder.uuid)
    stored = unit.execute(unit.sql.refs_of, (holder.id,)).fetchall()
    for to_type, refs in wanted.items():
        targets: dict[bytes, Target] = {}
        attrs: dict[str, str] = {}
        for ref in refs:
            target = find_target(unit, holder.obj_type, uuid, ref, strict=strict)
            if target.uuid in targets:
                message = f"{holder.name} refers to {to_type} {text_id(target.uuid)} twice"
                raise InvalidRequestError(message)
            targets[target.uuid] = target
            attrs[target.uuid.hex()] = ref.attr
        before = {to.hex(): attr for to, of_type, attr in stored if of_type == to_type}
        diff = changes.ref_diff(before, attrs)
        for removed in diff.removed:
            remove_ref(unit, holder, to_type, bytes.fromhex(removed), peers)
        for put, attr in diff.put.items():
            put_ref(unit, holder, targets[bytes.fromhex(put)], attr, peers)
    return peers


def put_ref(
    unit: Unit, holder: Holder, target: Target, attr: str, peers: Peers, *, relax: bool = False
) -> None:
    """Write one ref; one that was relaxed stays so."""
    unit.execute(
        unit.sql.put_ref,
        (
            holder.id,
            target.uuid,
            holder.obj_type,
            holder.uuid,
            holder.key,
            target.obj_type,
            target.key,
            attr,
            relax,
        ),
    )
    unit.dangling = unit.dangling or target.key is None
    same_type = target.obj_type == holder.obj_type and target.uuid != holder.uuid
    if same_type and target.key is not None:
        peers[target.uuid] = attr


def remove_ref(unit: Unit, holder: Holder, to_type: str, to: bytes, peers: Peers) -> None:
    """Remove one ref."""
    unit.execute(unit.sql.delete_ref, (holder.id, to))
    if to_type == holder.obj_type and to != holder.uuid:
        there = unit.execute(unit.sql.by_uuid, (to, to_type)).fetchone()
        if there is not None:
            peers[to] = None


def save_peers(unit: Unit, holder: Holder, peers: Mapping[bytes, str | None]) -> None:
    """Give the other ends their side of what was written, and a revision of their own."""
    for uuid in sorted(peers):
        number, obj_type, key = unit.execute(unit.sql.peer, (uuid,)).fetchone()
        attr = peers[uuid]
        peer = Holder(number, uuid, obj_type, key)
        if attr is None:
            unit.execute(unit.sql.delete_ref, (number, holder.uuid))
        else:
            target = Target(holder.uuid, holder.obj_type, holder.id, holder.key)
            put_ref(unit, peer, target, attr, {})
        revision = unit.changed(UPDATED, obj_type, uuid)
        unit.execute(unit.sql.touch, (revision, unit.now, number))


def attach_dangling(unit: Unit, holder: Holder) -> None:
    """Let refs that wait for an object find it."""
    if unit.dangling:
        unit.execute(unit.sql.attach, (holder.key, holder.uuid, holder.obj_type))


def texts(uuids: Iterable[bytes]) -> tuple[str, ...]:
    """Give uuids as sorted text."""
    return tuple(map(text_id, sorted(uuids)))
