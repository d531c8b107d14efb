"""Keeps the index of properties, by what the database says is indexed now.

That may be more than the schema knows that a write was checked by: another process may have opened
the file with a superset of it meanwhile.
"""

import msgspec

from asyncbackends.object_model.values import checked_index_key
from asyncbackends.object_model.writes import Create, Update
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
            key = checked_index_key(value, f"{create.obj_type} {create.uuid}: {prop}")
        unit.execute(unit.sql.put_index, (create.obj_type, prop, key, uuid))


def index_changed(unit: Unit, update: Update, uuid: bytes) -> None:
    """Index the properties that an update names anew."""
    for prop in unit.indexed.get(update.obj_type, ()):
        if prop not in update.properties:
            continue
        text = update.properties[prop]
        key = update.index.get(prop)
        if key is None and text is not None:
            where = f"{update.obj_type} {update.uuid}: {prop}"
            key = checked_index_key(msgspec.json.decode(text), where)
        unit.execute(unit.sql.delete_index, (uuid, prop))
        if key is not None:
            unit.execute(unit.sql.put_index, (update.obj_type, prop, key, uuid))
