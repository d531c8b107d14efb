"""From a caller's arguments to checked writes and reads, by the rules of one schema."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from asyncbackends.errors import InvalidRequestError
from asyncbackends.object_model.changes import default_perms2
from asyncbackends.object_model.listing import Listing, listing
from asyncbackends.object_model.normalising import Fields, element_key, normalise
from asyncbackends.object_model.values import canonical_id, checked_text, encoded, fq_key, json_text
from asyncbackends.object_model.views import TypeView, checked_names, near_match, type_view
from asyncbackends.object_model.writes import (
    Create,
    Delete,
    ElementStep,
    ElementUpdate,
    KvDelete,
    KvPut,
    KvReplace,
    RefUpdate,
    Share,
    Update,
    UseragentStore,
)
from asyncbackends.protocols.guarantees import Limits
from asyncbackends.protocols.values import CollectionUpdate, Id, Json
from asyncbackends.schema import NO_PARENT, Schema

__all__ = ("ObjectModel", "checked_revision")

LIST_OPERATIONS = ("add", "modify", "delete")
MAP_OPERATIONS = ("set", "delete")


class ObjectModel:
    """The rules of one schema; immutable, shared by all calls on a database.

    Every method raises InvalidRequestError for arguments that break a rule, and has no effect.
    """

    def __init__(
        self, schema: Schema, limits: Limits, integrity: Literal["strict", "legacy"] = "strict"
    ) -> None:
        self.schema = schema
        self.limits = limits
        self.strict = integrity == "strict"
        self._views: dict[str, TypeView] = {}

    def view(self, obj_type: str) -> TypeView:
        """Give the view of a type."""
        view = self._views.get(obj_type)
        if view is None:
            view = self._views[obj_type] = type_view(self.schema, obj_type)
        return view

    def create(self, obj_type: str, obj_uuid: Id, obj_dict: Mapping[str, Json]) -> Create:
        """Check a new object."""
        view, uuid = self.view(obj_type), canonical_id(obj_uuid)
        fields = normalise(view, uuid, obj_dict, self.limits)
        if fields.key is None:
            message = f"{obj_type} {uuid} has no fq_name"
            raise InvalidRequestError(message)
        parent_type, parent_key = self._parent(view, uuid, fields, obj_dict)
        return Create(
            obj_type=obj_type,
            uuid=uuid,
            key=fields.key,
            parent_type=parent_type,
            parent_uuid=fields.parent_uuid,
            parent_key=parent_key,
            document=fields.document,
            index={name: key for name, key in fields.index.items() if key is not None},
            elements={name: items for name, items in fields.elements.items() if items},
            refs={target: refs for target, refs in fields.refs.items() if refs},
        )

    def _parent(
        self, view: TypeView, uuid: str, fields: Fields, obj_dict: Mapping[str, Json]
    ) -> tuple[str | None, str | None]:
        possible = view.object_type.parent_types
        parent_type = fields.parent_type
        if fields.parent_uuid is None and parent_type in {None, NO_PARENT}:
            tolerated = parent_type is None and not self.strict
            if tolerated or not view.object_type.parent_required:
                return None, None
        if parent_type is None and len(possible) == 1:
            parent_type = possible[0]
        if parent_type not in possible:
            choice = f"one of {', '.join(possible)}" if possible else "none"
            message = (
                f"{view.name} {uuid}: the parent_type is {choice}, not {fields.parent_type!r}"
                f"{near_match(fields.parent_type, possible)}"
            )
            raise InvalidRequestError(message)
        if fields.parent_uuid is not None:
            return parent_type, None
        fq_name = obj_dict["fq_name"]
        if len(fq_name) == 1:
            message = (
                f"{view.name} {uuid}: the parent's name is fq_name without its last part, and this "
                f"fq_name has one part; give parent_uuid"
            )
            raise InvalidRequestError(message)
        return parent_type, fq_key(fq_name[:-1])

    def update(
        self,
        obj_type: str,
        obj_uuid: Id,
        obj_dict: Mapping[str, Json],
        expected_revision: int | None = None,
    ) -> Update:
        """Check a change of an object."""
        view, uuid = self.view(obj_type), canonical_id(obj_uuid)
        fields = normalise(view, uuid, obj_dict, self.limits)
        return Update(
            obj_type=obj_type,
            uuid=uuid,
            key=fields.key,
            parent_type=fields.parent_type,
            parent_uuid=fields.parent_uuid,
            properties={
                name: None if value is None else encoded(value)
                for name, value in fields.properties.items()
            },
            index=fields.index,
            elements=fields.elements,
            refs=fields.refs,
            expected_revision=checked_revision(expected_revision),
        )

    def perms2_update(
        self,
        obj_type: str,
        uuid: str,
        properties: Mapping[str, Json],
        expected_revision: int | None = None,
    ) -> Update | None:
        """Give the write of default permissions, or None where there is nothing to write."""
        view = self.view(obj_type)
        if "perms2" in properties or view.roles.get("perms2", ("property", ""))[0] != "property":
            return None
        if view.object_type.properties is not None and "perms2" not in view.roles:
            return None
        perms2 = {"perms2": default_perms2(properties)}
        return self.update(obj_type, uuid, perms2, expected_revision)

    def delete(self, obj_type: str, obj_uuid: Id, expected_revision: int | None = None) -> Delete:
        """Check a delete."""
        self.view(obj_type)
        return Delete(obj_type, canonical_id(obj_uuid), checked_revision(expected_revision))

    def element_update(
        self,
        obj_type: str,
        obj_uuid: Id,
        updates: Sequence[CollectionUpdate],
        expected_revision: int | None = None,
    ) -> ElementUpdate:
        """Check changes of elements."""
        view, uuid = self.view(obj_type), canonical_id(obj_uuid)
        steps = [self._step(view, uuid, update) for update in updates]
        if not steps:
            message = f"{obj_type} {uuid}: no element to update"
            raise InvalidRequestError(message)
        return ElementUpdate(obj_type, uuid, steps, checked_revision(expected_revision))

    def _step(self, view: TypeView, uuid: str, update: CollectionUpdate) -> ElementStep:
        field, operation, position = update.field, update.operation, update.position
        kind, _ = view.role(field)
        operations = {"list": LIST_OPERATIONS, "map": MAP_OPERATIONS}.get(kind, ())
        where = f"{view.name} {uuid}: {field}"
        if operation not in operations:
            choice = f"takes {', '.join(operations)}" if operations else "is no list or map"
            message = f"{where} {choice}, not {operation!r}"
            raise InvalidRequestError(message)
        if operation == "set":
            key_name = view.object_type.maps[field].key
            key = element_key(update.value, key_name, where)
            if position not in {None, key}:
                message = f"{where}: position {position!r} is not the element's key {key!r}"
                raise InvalidRequestError(message)
            position = key
        elif position is not None:
            checked_text(position, f"{where}: the position")
        elif operation != "add":
            message = f"{where}: {operation} needs a position"
            raise InvalidRequestError(message)
        if operation == "delete":
            return ElementStep(field, position, None)
        text = json_text(update.value, f"{where}[{position!r}]", self.limits.value_bytes)
        return ElementStep(field, position, text)

    def ref_update(
        self,
        obj_type: str,
        obj_uuid: Id,
        ref_obj_type: str,
        ref_uuid: Id,
        ref_data: Mapping[str, Json] | None,
        operation: str,
        *,
        relax: bool = False,
        expected_revision: int | None = None,
    ) -> RefUpdate:
        """Check a change of one ref."""
        view, uuid = self.view(obj_type), canonical_id(obj_uuid)
        if ref_obj_type not in view.object_type.refs:
            message = (
                f"{obj_type} does not refer to {ref_obj_type!r}"
                f"{near_match(ref_obj_type, view.object_type.refs)}"
            )
            raise InvalidRequestError(message)
        if operation not in {"ADD", "DELETE"}:
            message = f"a ref takes ADD or DELETE, not {operation!r}"
            raise InvalidRequestError(message)
        data: Mapping[str, Any] = {} if ref_data is None else ref_data
        if not isinstance(data, Mapping) or data.keys() - {"attr"}:
            message = "ref_data is {'attr': value} or None"
            raise InvalidRequestError(message)
        where = f"{obj_type} {uuid}: the attr of its ref to {ref_uuid}"
        attr = json_text(data.get("attr"), where, self.limits.value_bytes)
        if attr != "null" and not view.object_type.refs[ref_obj_type].attr:
            message = f"{where}: refs to {ref_obj_type} carry none"
            raise InvalidRequestError(message)
        return RefUpdate(
            obj_type,
            uuid,
            ref_obj_type,
            canonical_id(ref_uuid),
            attr if operation == "ADD" else None,
            relax,
            checked_revision(expected_revision),
        )

    def share(self, obj_type: str, obj_id: Id, share_id: str, share_type: str, rwx: int) -> Share:
        """Check a share."""
        if type(rwx) is not int or not 0 <= rwx <= 7:
            message = f"rwx is 0 to 7, not {rwx!r}"
            raise InvalidRequestError(message)
        return self._share(obj_type, obj_id, share_id, share_type, rwx)

    def end_of_share(self, obj_type: str, obj_id: Id, share_id: str, share_type: str) -> Share:
        """Check the end of a share."""
        return self._share(obj_type, obj_id, share_id, share_type, None)

    def _share(
        self, obj_type: str, obj_id: Id, share_id: str, share_type: str, rwx: int | None
    ) -> Share:
        self.view(obj_type)
        checked_text(share_type, "the share_type")
        if share_id != "":
            checked_text(share_id, "the share_id")
        return Share(obj_type, canonical_id(obj_id), share_type, share_id, rwx)

    def useragent_store(self, key: str, value: str) -> UseragentStore:
        """Check a text of the useragent store."""
        if type(value) is not str:
            message = f"the useragent value is a str, not {type(value).__name__}"
            raise InvalidRequestError(message)
        json_text(value, "the useragent value", self.limits.value_bytes)
        return UseragentStore(checked_text(key, "the useragent key"), value)

    def kv_put(self, table: str, key: str, columns: Mapping[str, Json]) -> KvPut:
        """Check columns to set."""
        return KvPut(*self._row(table, key), self._columns(table, key, columns))

    def kv_replace(
        self, table: str, key: str, columns: Mapping[str, Json], expected_revision: int | None
    ) -> KvReplace:
        """Check a row to replace."""
        revision = checked_revision(expected_revision)
        return KvReplace(*self._row(table, key), self._columns(table, key, columns), revision)

    def kv_delete(self, table: str, key: str, columns: Sequence[str] | None) -> KvDelete:
        """Check columns, or a row, to delete."""
        names = None if columns is None else tuple(checked_names(columns))
        return KvDelete(*self._row(table, key), names)

    def _row(self, table: str, key: str) -> tuple[str, str]:
        return checked_text(table, "the table"), checked_text(key, "the key")

    def _columns(self, table: str, key: str, columns: Mapping[str, Json]) -> dict[str, str]:
        if not isinstance(columns, Mapping) or not columns:
            message = f"{table} {key}: columns are a dict with at least one item"
            raise InvalidRequestError(message)
        return {
            checked_text(name, "the column"): json_text(
                value, f"{table} {key}: column {name!r}", self.limits.value_bytes
            )
            for name, value in columns.items()
        }

    def listing(self, obj_type: str, **restrictions: Any) -> Listing:
        """Check the arguments of a list; see :func:`asyncbackends.object_model.listing.listing`."""
        return listing(self.view(obj_type), **restrictions)


def checked_revision(revision: int | None, what: str = "expected_revision") -> int | None:
    """Refuse what cannot be a revision."""
    if revision is not None and (type(revision) is not int or revision < 0):
        message = f"{what} is an int from 0 on, not {revision!r}"
        raise InvalidRequestError(message)
    return revision
