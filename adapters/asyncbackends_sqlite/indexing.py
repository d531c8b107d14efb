"""Keeps the index of properties, by what the database says is indexed now.

That may be more than the schema knows that a write was checked by: another process may have opened
the file with a superset of it meanwhile.
"""

import msgspec

from asyncbackends.errors import InvalidRequestError
from asyncbackends.object_model.values import index_key
from asyncbackends.object_model.writes import Create, Update
from asyncbackends.protocols.values import Json
from asyncbackends_sqlite.unit import Unit

__all__ = ("index_changed", "index_new")


def index_new(unit: Unit, create: Create, uuid: bytes) -> None:
    """Index the properties of a new object."""
    for prop in unit.indexed[create.obj_type]:
        key = create.index.get(prop)
        if key is None:
            value = msgspec.json.decode(create.document).get(prop)
            if value is None:
                continue
            key = _checked_key(create.obj_type, create.uuid, prop, value)
        unit.execute(unit.sql.put_index, (create.obj_type, prop, key, uuid))


def index_changed(unit: Unit, update: Update, uuid: bytes) -> None:
    """Index the properties that an update names anew."""
    for prop in unit.indexed.get(update.obj_type, ()):
        if prop not in update.properties:
            continue
        text = update.properties[prop]
        key = update.index.get(prop)
        if key is None and text is not None:
            key = _checked_key(update.obj_type, update.uuid, prop, msgspec.json.decode(text))
        unit.execute(unit.sql.delete_index, (uuid, prop))
        if key is not None:
            unit.execute(unit.sql.put_index, (update.obj_type, prop, key, uuid))


def _checked_key(obj_type: str, uuid: str, prop: str, value: Json) -> str:
    key = index_key(value)
    if key is None:
        message = f"{obj_type} {uuid}: {prop} is indexed: it takes text, a number or a boolean"
        raise InvalidRequestError(message)
    return key
