"""Reads objects with all their parts in one statement, which is one snapshot.

Every part is a branch of a UNION ALL. Its rows are

======== ==== ========== =========== =========== ========== ================================
part     id   a          b           c           d          e
======== ==== ========== =========== =========== ========== ================================
HEAD     uuid fq         parent type parent uuid properties revision, created, modified
ELEMENT  uuid field      item        value       NULL       NULL
REF      uuid type       uuid        fq          attr       NULL
BACK_REF uuid type       uuid        fq          attr       NULL
CHILD    uuid type       uuid        fq          NULL       NULL
======== ==== ========== =========== =========== ========== ================================

in any order, ``part`` an int and all else text; ``e`` holds three numbers between blanks, since
clients pay for every column of every row. Parts of what has no HEAD are not looked at.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from typing import Any, Final, NamedTuple

from asyncbackends.object_model.assembling import StoredObject
from asyncbackends.object_model.positions import position_from_sort_key
from asyncbackends.object_model.views import Selection, TypeView
from asyncbackends.protocols.values import FieldNames
from asyncbackends.sql.server import Row
from asyncbackends.sql.statements import Statements

__all__ = (
    "BACK_REF",
    "CHILD",
    "ELEMENT",
    "HEAD",
    "REF",
    "Parts",
    "Reading",
    "assembled",
    "elements_alone",
    "elements_by_field",
    "objects_statement",
    "page_statement",
    "wanted_parts",
)

HEAD, ELEMENT, REF, BACK_REF, CHILD = range(5)
NO_LINKS: Final[frozenset[str]] = frozenset()


class _Branch(NamedTuple):
    """One part: its columns, its table with the uuid it is found by, and what else must hold."""

    columns: str
    table: str
    uuid: str
    joined: str = ""
    where: str = ""


_HEAD = "0, ID(o.uuid), TEXT(o.fq), TEXT(o.parent_type), ID(o.parent_uuid), "
_STATE = "CONCAT(s.revision, ' ', o.created, ' ', s.modified)"
_ELEMENTS = _Branch(
    "1, ID(e.uuid), TEXT(e.field), TEXT(e.item), e.value, NULL, NULL", "~elem e", "e.uuid"
)
_REFS = _Branch(
    "2, ID(r.from_uuid), TEXT(r.to_type), ID(r.to_uuid), TEXT(r.to_fq), r.attr, NULL",
    "~ref r",
    "r.from_uuid",
)
BRANCHES: Final = {
    "head": _Branch(
        f"{_HEAD} d.properties, {_STATE}",
        "~object o",
        "o.uuid",
        " JOIN ~state s ON s.uuid = o.uuid LEFT JOIN ~doc d ON d.uuid = o.uuid",
        " AND o.type = ?",
    ),
    "head without document": _Branch(
        f"{_HEAD} '{{}}', {_STATE}",
        "~object o",
        "o.uuid",
        " JOIN ~state s ON s.uuid = o.uuid",
        " AND o.type = ?",
    ),
    "elements": _ELEMENTS,
    "some elements": _ELEMENTS._replace(where=" AND e.field IN ?"),
    "refs": _REFS,
    "some refs": _REFS._replace(where=" AND r.to_type IN ?"),
    "back_refs": _Branch(
        "3, ID(b.to_uuid), TEXT(b.from_type), ID(b.from_uuid), TEXT(b.from_fq), b.attr, NULL",
        "~ref b",
        "b.to_uuid",
        where=" AND b.to_type = ? AND b.from_type IN ?",
    ),
    "children": _Branch(
        "4, ID(c.parent_uuid), TEXT(c.type), ID(c.uuid), TEXT(c.fq), NULL, NULL",
        "~object c",
        "c.parent_uuid",
        where=" AND c.type IN ?",
    ),
}


class Parts(NamedTuple):
    """The branches of a read, and what each is given after the uuids."""

    names: tuple[str, ...]
    parameters: tuple[tuple[Any, ...], ...]


def wanted_parts(view: TypeView, selection: Selection, *, document: bool = False) -> Parts:
    """Give the branches that a read needs; ``document`` asks for the document at any rate."""
    object_type = view.object_type
    whole = document or selection.properties is None or bool(selection.properties)
    names = ["head" if whole else "head without document"]
    parameters: list[tuple[Any, ...]] = [(view.name,)]
    if selection.collections is None:
        if object_type.lists or object_type.maps:
            names.append("elements")
            parameters.append(())
    elif selection.collections:
        names.append("some elements")
        parameters.append((sorted(selection.collections),))
    if selection.refs is None:
        if object_type.refs:
            names.append("refs")
            parameters.append(())
    elif selection.refs:
        names.append("some refs")
        parameters.append((sorted(selection.refs),))
    if selection.back_refs:
        names.append("back_refs")
        parameters.append((view.name, sorted(selection.back_refs)))
    if selection.children:
        names.append("children")
        parameters.append((sorted(selection.children),))
    return Parts(tuple(names), tuple(parameters))


class Reading:
    """How objects of a type are read with one choice of fields; it serves many reads."""

    __slots__ = ("_one", "_sql", "parts", "selection", "view")

    def __init__(self, sql: Statements, view: TypeView, field_names: FieldNames) -> None:
        self.view = view
        self.selection = view.select(field_names)
        self.parts = wanted_parts(view, self.selection)
        self._sql = sql
        self._one = ""

    def one(self, uuid: str) -> tuple[str, list[Any]]:
        """Give the statement that reads one object."""
        if not self._one:
            self._one = objects_statement(self._sql, self.parts, [uuid])[0]
        given = self._sql.id(uuid)
        parameters: list[Any] = []
        for extra in self.parts.parameters:
            parameters.append(given)
            parameters += extra
        return self._one, parameters

    def several(self, uuids: Sequence[str]) -> tuple[str, list[Any]]:
        """Give the statement that reads objects, of which there is at least one."""
        return objects_statement(self._sql, self.parts, uuids)


def elements_alone(fields: Sequence[str]) -> Selection:
    """Give the selection of some collections and nothing else."""
    return Selection(NO_LINKS, frozenset(fields), NO_LINKS, NO_LINKS, NO_LINKS)


def objects_statement(sql: Statements, parts: Parts, uuids: Sequence[str]) -> tuple[str, list[Any]]:
    """Give the statement that reads objects by their uuids, of which there is at least one."""
    one = len(uuids) == 1
    given: Any = sql.id(uuids[0]) if one else sql.ids(uuids)
    names = parts.names
    text = sql.kept((names, one), lambda: _by_uuid(names, "= ?" if one else "IN ?"))
    parameters: list[Any] = []
    for extra in parts.parameters:
        parameters.append(given)
        parameters += extra
    return text, parameters


def page_statement(
    sql: Statements, parts: Parts, key: object, page: str, parameters: Sequence[Any]
) -> tuple[str, list[Any]]:
    """Give the statement that reads the objects of a page.

    :param page: the neutral statement that gives their uuids, with its ``key``.
    """
    names = parts.names
    text = sql.kept((names, "page", key), lambda: _of_page(names, page))
    return text, [*parameters, *(item for extra in parts.parameters for item in extra)]


def _by_uuid(names: Iterable[str], uuids: str) -> str:
    chosen = (BRANCHES[name] for name in names)
    return " UNION ALL ".join(
        f"SELECT {part.columns} FROM {part.table}{part.joined}"  # noqa: S608  # our fragments
        f" WHERE {part.uuid} {uuids}{part.where}"
        for part in chosen
    )


def _of_page(names: Iterable[str], page: str) -> str:
    chosen = (BRANCHES[name] for name in names)
    branches = " UNION ALL ".join(
        f"SELECT {part.columns} FROM page JOIN {part.table} ON {part.uuid} = page.uuid{part.joined}"  # noqa: S608  # our fragments
        f"{part.where.replace(' AND ', ' WHERE ', 1)}"
        for part in chosen
    )
    return f"WITH page AS ({page}) {branches}"


def assembled(view: TypeView, rows: Iterable[Row]) -> dict[str, StoredObject]:
    """Give the parts of the objects that are there, by uuid, from rows in any order."""
    heads: list[Row] = []
    elements: defaultdict[str, list[Any]] = defaultdict(list)
    links: list[defaultdict[str, list[Any]]] = [defaultdict(list) for _ in range(CHILD + 1)]
    # A slice is made in C, also of a driver's own kind of row.
    for row in rows:
        part: int = row[0]
        if part == ELEMENT:
            elements[row[1]].append(row[2:5])
        elif part == HEAD:
            heads.append(row)
        else:
            links[part][row[1]].append(row[2:5] if part == CHILD else row[2:6])
    obj_type, lists = view.name, view.object_type.lists
    found: dict[str, StoredObject] = {}
    for _, uuid, key, parent_type, parent_uuid, document, state in heads:
        revision, created, modified = state.split()
        items = elements[uuid]
        found[uuid] = StoredObject(
            obj_type=obj_type,
            uuid=uuid,
            key=key,
            parent_type=parent_type,
            parent_uuid=parent_uuid,
            revision=int(revision),
            created=int(created),
            modified=int(modified),
            document=document or "{}",
            elements=_positioned(items, lists) if lists and items else items,
            refs=links[REF][uuid],
            back_refs=links[BACK_REF][uuid],
            children=links[CHILD][uuid],
        )
    return found


def _positioned(
    items: Iterable[tuple[str, str, str]], lists: Container[str]
) -> list[tuple[str, str, str]]:
    return [
        (field, position_from_sort_key(item), value) if field in lists else (field, item, value)
        for field, item, value in items
    ]


def elements_by_field(
    stored: StoredObject, fields: Sequence[str]
) -> dict[str, list[tuple[str, str]]]:
    """Give the elements of some collections: (position or key, value)."""
    elements: dict[str, list[tuple[str, str]]] = {field: [] for field in fields}
    for field, position, value in stored.elements:
        elements[field].append((position, value))
    return elements
