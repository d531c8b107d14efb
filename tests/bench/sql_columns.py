"""The layout to compare with: a row per property, as OpenContrail keeps objects in Cassandra. Pure.

Columns of an object: ``type``, ``fq_name``, ``META:latest_col_ts``, ``prop:<name>``,
``propl:<name>:<position>``, ``propm:<name>:<key>``, ``parent:<type>:<uuid>``,
``ref:<type>:<uuid>``, ``backref:<type>:<uuid>``. The names of what it leads to stand in their own
objects, so a second query reads them.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from asyncbackends.schema import IDENTITY_FIELDS
from tests.bench.sql_objects import SCHEMA

__all__ = ("Row", "linked_ids", "objects_of", "rows_of", "with_names")

Row = Sequence[Any]
"""(uuid, column, value)"""

_encode: Callable[[Any], bytes] = msgspec.json.encode
_decode: Callable[[str], Any] = msgspec.json.Decoder().decode


def rows_of(obj_type: str, content: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Give the rows of an object, which is there with every field."""
    kind = SCHEMA.types[obj_type]
    columns: dict[str, Any] = {
        "type": obj_type,
        "fq_name": content["fq_name"],
        "META:latest_col_ts": None,
    }
    if "parent_uuid" in content:
        columns[f"parent:{content['parent_type']}:{content['parent_uuid']}"] = None
    for field, value in content.items():
        if field in IDENTITY_FIELDS:
            continue
        if field in kind.lists:
            columns |= {f"propl:{field}:{at}": item for at, item in enumerate(value)}
        elif field in kind.maps:
            columns |= {f"propm:{field}:{item['key']}": item for item in value}
        elif field.endswith("_back_refs"):
            holder = field.removesuffix("_back_refs")
            columns |= {f"backref:{holder}:{ref['uuid']}": _link(ref) for ref in value}
        elif field.endswith("_refs"):
            target = field.removesuffix("_refs")
            columns |= {f"ref:{target}:{ref['uuid']}": _link(ref) for ref in value}
        else:
            columns[f"prop:{field}"] = value
    return [(content["uuid"], name, _encode(value).decode()) for name, value in columns.items()]


def _link(ref: dict[str, Any]) -> dict[str, Any]:
    return {"attr": ref["attr"], "is_weakref": False}


def objects_of(rows: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """Give the objects, by uuid, with links that have no names yet."""
    found: dict[str, dict[str, Any]] = {}
    ordered: dict[tuple[str, str], list[tuple[int, Any]]] = {}
    keyed: dict[tuple[str, str], list[tuple[str, Any]]] = {}
    for uuid, column, text in rows:
        content = found.get(uuid)
        if content is None:
            content = found[uuid] = {"uuid": uuid}
        kind, _, name = column.partition(":")
        if kind == "prop":
            content[name] = _decode(text)
        elif kind == "propl":
            field, _, position = name.partition(":")
            ordered.setdefault((uuid, field), []).append((int(position), _decode(text)))
        elif kind == "propm":
            field, _, key = name.partition(":")
            keyed.setdefault((uuid, field), []).append((key, _decode(text)))
        elif kind in {"ref", "backref"}:
            other, _, to = name.partition(":")
            field = f"{other}_refs" if kind == "ref" else f"{other}_back_refs"
            link = {"to": None, "uuid": to, "attr": _decode(text)["attr"]}
            content.setdefault(field, []).append(link)
        elif kind == "parent":
            content["parent_type"], _, content["parent_uuid"] = name.partition(":")
        elif kind == "fq_name":
            content["fq_name"] = _decode(text)
    for (uuid, field), items in ordered.items():
        items.sort(key=_at)
        found[uuid][field] = [value for _, value in items]
    for (uuid, field), entries in keyed.items():
        entries.sort(key=_at)
        found[uuid][field] = [value for _, value in entries]
    return found


def _at(item: tuple[Any, Any]) -> Any:
    return item[0]


def _links(content: dict[str, Any]) -> Iterable[list[dict[str, Any]]]:
    return (value for field, value in content.items() if field.endswith("_refs"))


def linked_ids(objects: dict[str, dict[str, Any]]) -> list[str]:
    """Give the uuids whose names the second query reads."""
    wanted = {
        link["uuid"] for content in objects.values() for links in _links(content) for link in links
    }
    return list(wanted)


def with_names(
    objects: dict[str, dict[str, Any]], rows: Iterable[Row]
) -> dict[str, dict[str, Any]]:
    """Put the names in, from rows of (uuid, fq_name)."""
    names = {uuid: _decode(text) for uuid, text in rows}
    for content in objects.values():
        for links in _links(content):
            links.sort(key=_by_uuid)
            for link in links:
                link["to"] = names[link["uuid"]]
    return objects


def _by_uuid(link: dict[str, Any]) -> str:
    uuid: str = link["uuid"]
    return uuid
