"""From the rows of a column dump to records of our own form, parents first. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from asyncbackends.errors import InvalidRequestError
from asyncbackends.interchange.column_forms import ColumnDump
from asyncbackends.interchange.column_names import (
    IDENTITY_COLUMNS,
    Column,
    attr_of,
    decoded,
    split_column,
)
from asyncbackends.interchange.findings import Findings
from asyncbackends.interchange.records import ObjectRecord
from asyncbackends.interchange.scanning import Entry, Index
from asyncbackends.interchange.shapes import as_dict
from asyncbackends.object_model.positions import position_order
from asyncbackends.object_model.values import fq_name_of, json_equal, value_problem
from asyncbackends.object_model.views import TypeView, type_view
from asyncbackends.protocols.values import Json
from asyncbackends.schema import Schema

__all__ = ("Converter",)


class _Parts(msgspec.Struct):
    properties: dict[str, Json] = {}
    lists: dict[str, list[tuple[str, Json]]] = {}
    maps: dict[str, list[tuple[str, Json]]] = {}
    refs: dict[str, dict[str, Json]] = {}
    relaxed_by: list[str] = []


class Converter:
    """Converts the rows of one dump for one schema."""

    def __init__(
        self,
        dump: ColumnDump,
        index: Index,
        schema: Schema,
        findings: Findings,
        *,
        dropped: Mapping[tuple[str, str], str],
        present: Mapping[str, str],
    ) -> None:
        """Make a converter.

        :param dropped: fields that an inferred schema has no place for, with the reason.
        :param present: ids that have no row but stand in the database already, with their type.
        """
        self._dump = dump
        self._index = index
        self._schema = schema
        self._findings = findings
        self._dropped = dropped
        self._present = present
        self._views: dict[str, TypeView | str] = {}
        self.absent: set[str] = set()
        """Objects that cannot be made: no record refers to them."""

    def order(self) -> list[str]:
        """Give the uuids of all objects, parents before children; damage takes its children along."""
        entries = self._index.entries
        depths: dict[str, int] = {}
        for uuid in entries:
            path = [uuid]
            while path[-1] not in depths:
                problem = self._problem(entries[path[-1]], path)
                parent = entries[path[-1]].parent
                if problem is not None:
                    self._findings.damage(str(entries[path[-1]]), problem[0], problem[1])
                    self.absent.add(path[-1])
                    depths[path[-1]] = -1
                elif parent is None or parent not in entries:
                    depths[path[-1]] = 0
                else:
                    path.append(parent)
            for child in reversed(path[:-1]):
                parent = entries[child].parent or ""
                if depths[parent] < 0:
                    reason = f"its parent {entries[parent]} is not loaded"
                    self._findings.damage(
                        str(entries[child]), _parent_column(entries[child]), reason
                    )
                    self.absent.add(child)
                depths[child] = depths[parent] + 1 if depths[parent] >= 0 else -1
        made = [uuid for uuid in entries if uuid not in self.absent]
        made.sort(key=lambda uuid: (depths[uuid], entries[uuid].obj_type, uuid))
        return made

    def _problem(self, entry: Entry, path: list[str]) -> tuple[str, str] | None:
        view = self._view(entry.obj_type)
        if isinstance(view, str):
            return "type", view
        parent = entry.parent
        if parent is None:
            if view.object_type.parent_required:
                choice = ", ".join(view.object_type.parent_types)
                return "parent_type", f"it has no parent; one of {choice} is needed"
            return None
        if entry.parent_type not in view.object_type.parent_types:
            return _parent_column(entry), f"no {entry.parent_type} is parent of a {entry.obj_type}"
        if parent in path:
            return _parent_column(entry), "it is its own ancestor"
        problem = self._no_target(entry.parent_type or "", parent)
        return None if problem is None else (_parent_column(entry), problem)

    def _view(self, obj_type: str) -> TypeView | str:
        view = self._views.get(obj_type)
        if view is None:
            try:
                view = type_view(self._schema, obj_type)
            except InvalidRequestError as error:
                view = str(error)
            self._views[obj_type] = view
        return view

    def _no_target(self, obj_type: str, uuid: str) -> str | None:
        """Say why a link cannot lead there, or None."""
        entry = self._index.entries.get(uuid)
        if entry is None and self._present.get(uuid) == obj_type:
            return None
        if entry is None and uuid in self._index.broken:
            return f"{obj_type} {uuid} is not loaded"
        if entry is None:
            return f"there is no row {uuid}"
        if entry.obj_type != obj_type:
            return f"{uuid} is a {entry.obj_type}"
        if uuid in self.absent:
            return f"{entry} is not loaded"
        return None

    def records(self, order: list[str]) -> Iterator[ObjectRecord]:
        """Give the objects, in the order that :meth:`order` gave."""
        for uuid in order:
            yield self._record(uuid, self._index.entries[uuid])

    def _record(self, uuid: str, entry: Entry) -> ObjectRecord:
        view = self._view(entry.obj_type)
        if isinstance(view, str):  # order() left these out
            raise InvalidRequestError(view)
        texts, broken = self._dump.columns(self._dump.rows[entry.row])
        for column, reason in sorted(broken.items()):
            self._findings.damage(str(entry), column, reason)
        parts = _Parts()
        for column in sorted(texts.keys() - IDENTITY_COLUMNS):
            try:
                split = split_column(column)
                if split is not None:
                    self._take(parts, view, uuid, split, texts[column])
            except ValueError as error:
                self._findings.damage(str(entry), column, str(error))
        content: dict[str, Json] = {"uuid": uuid, "fq_name": fq_name_of(entry.key)}
        if entry.parent is not None:
            content |= {"parent_type": entry.parent_type, "parent_uuid": entry.parent}
        content |= parts.properties
        positions = _add_collections(content, view, parts)
        self._settle_mutual(parts, view, uuid, entry)
        for target, refs in sorted(parts.refs.items()):
            content[f"{target}_refs"] = [_ref(ref, refs[ref]) for ref in sorted(refs)]
        return ObjectRecord(entry.obj_type, content, positions, sorted(parts.relaxed_by))

    def _take(self, parts: _Parts, view: TypeView, uuid: str, column: Column, text: str) -> None:
        """Put a column where it belongs.

        :raises ValueError: it is damaged.
        """
        kind, name = column.kind, column.name
        if kind in {"parent", "backref", "children"}:
            return
        if kind == "relaxbackref":
            self._relax(parts, view, uuid, column.rest)
        elif kind == "ref":
            problem = self._no_target(name, column.rest)
            if problem is not None:
                raise ValueError(problem)
            self._check_field(view, f"{name}_refs", "refs")
            parts.refs.setdefault(name, {})[column.rest] = attr_of(_value(text))
        elif kind == "prop":
            value = _value(text)
            if value is not None:  # null is the same as no property
                self._check_field(view, name, "property")
                parts.properties[name] = value
        elif kind == "propl":
            self._check_field(view, name, "list")
            parts.lists.setdefault(name, []).append((column.rest, _value(text)))
        else:
            self._check_field(view, name, "map")
            element, key = as_dict(_value(text)), view.object_type.maps[name].key
            if element is None or element.get(key) != column.rest:
                message = f"its element does not hold the key {column.rest!r} under {key!r}"
                raise ValueError(message)
            parts.maps.setdefault(name, []).append((column.rest, element))

    def _check_field(self, view: TypeView, field: str, wanted: str) -> None:
        try:
            role, _ = view.role(field)
        except InvalidRequestError as error:
            raise ValueError(self._dropped.get((view.name, field), str(error))) from None
        if role != wanted:
            message = f"{view.name} has {field} as {role}, not as {wanted}"
            raise ValueError(self._dropped.get((view.name, field), message))

    def _relax(self, parts: _Parts, view: TypeView, uuid: str, holder: str) -> None:
        if self._index.pair(holder, uuid) in self._index.refs:
            parts.relaxed_by.append(holder)
        else:
            reason = f"{holder} holds no ref to it"
            self._findings.warn(
                "relaxed refs that are not there", f"{view.name} {uuid}", "relaxbackref", reason
            )

    def _settle_mutual(self, parts: _Parts, view: TypeView, uuid: str, entry: Entry) -> None:
        """Give a same-type ref to both ends, where they disagree as the first by uuid has it."""
        for other, mutual in self._index.mutual.get(uuid, {}).items():
            if self._no_target(entry.obj_type, other) is not None:
                continue
            if entry.obj_type not in view.object_type.refs:
                continue  # the column that says so is reported
            ends = mutual.ends
            holder = min(ends)
            parts.refs.setdefault(entry.obj_type, {})[other] = ends[holder]
            column = f"ref:{entry.obj_type}:{other}"
            if uuid not in ends:
                reason = "only the other end stores this ref; it is loaded at both"
                self._findings.warn("refs of one type at one end only", str(entry), column, reason)
            elif uuid != holder and not json_equal(ends[uuid], ends[holder]):
                reason = f"its attr differs at the two ends; that of {holder} is taken"
                self._findings.warn("refs whose ends disagree", str(entry), column, reason)


def _value(text: str) -> Any:
    value = decoded(text)
    problem = value_problem(value)
    if problem is not None:
        message = f"its value{problem}"
        raise ValueError(message)
    return value


def _ref(uuid: str, attr: Json) -> dict[str, Json]:
    return {"uuid": uuid} if attr is None else {"uuid": uuid, "attr": attr}


def _parent_column(entry: Entry) -> str:
    return f"parent:{entry.parent_type}:{entry.parent}"


def _add_collections(
    content: dict[str, Json], view: TypeView, parts: _Parts
) -> dict[str, list[str]]:
    positions: dict[str, list[str]] = {}
    for name, elements in parts.lists.items():
        elements.sort(key=lambda element: position_order(element[0]))
        values = [value for _, value in elements]
        wrapper = view.object_type.lists[name]
        content[name] = values if wrapper is None else {wrapper: values}
        found = [position for position, _ in elements]
        if found != [str(number) for number in range(len(found))]:
            positions[name] = found
    for name, elements in parts.maps.items():
        values = [value for _, value in sorted(elements, key=lambda element: element[0])]
        wrapper = view.object_type.maps[name].wrapper
        content[name] = values if wrapper is None else {wrapper: values}
    return positions
