"""Reads objects of a database as records, with what a page of them leaves out."""

from collections.abc import Iterable
from typing import Final, TypeAlias

from asyncbackends.errors import ObjectNotFoundError
from asyncbackends.interchange.records import ObjectRecord, canonical
from asyncbackends.interchange.shapes import as_dict, as_list
from asyncbackends.interchange.stepping import together
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import ConfigObject, Json
from asyncbackends.schema import ObjectType, Schema

__all__ = ("TOGETHER", "RecordReader", "SharedWith", "plain_record", "shared_with")

TOGETHER: Final = 32

SharedWith: TypeAlias = tuple[str, str, str]
"""A type of object, share_type and share_id."""


class RecordReader:
    """Completes the objects of one database: the positions of lists, and who relaxed a ref."""

    def __init__(self, database: ConfigDatabase) -> None:
        self._database = database
        self._schema = Schema()
        self._referred: set[str] = set()

    def is_referred(self, name: str) -> bool:
        """Say whether there can be refs to objects of a type."""
        schema = self._database.schema
        if schema is not self._schema:
            self._schema = schema
            self._referred = {target for kind in schema.types.values() for target in kind.refs}
        return name in self._referred

    async def records(
        self, name: str, found: Iterable[ConfigObject], *, relaxed: bool = True
    ) -> list[ObjectRecord]:
        """Give the records of objects as they were read, a bounded number at a time.

        :param relaxed: also say who relaxed a ref to them, a call for each object.
        """
        objects, records = list(found), list[ObjectRecord]()
        for at in range(0, len(objects), TOGETHER):
            some = objects[at : at + TOGETHER]
            records += await together([self._record(name, each, relaxed) for each in some])
        return records

    async def _record(self, name: str, found: ConfigObject, relaxed: bool) -> ObjectRecord:
        object_type = self._database.schema.types[name]
        record = plain_record(name, found, object_type)
        await self._position(record, object_type)
        if relaxed and self.is_referred(name):
            record.relaxed_by = await self._database.get_relaxed_refs(record.uuid)
        return record

    async def _position(self, record: ObjectRecord, object_type: ObjectType) -> None:
        """Read the positions of lists; values too, so that both are of one state."""
        lists, content = object_type.lists, record.object
        fields = [field for field in lists if field in content]
        if not fields:
            return
        try:
            read = await self._database.prop_collection_read(record.type, record.uuid, fields)
        except ObjectNotFoundError:  # deleted since the page was read: the page counts
            return
        for field, elements in read.items():
            values, found = [value for value, _ in elements], [at for _, at in elements]
            wrapper = lists[field]
            content[field] = canonical(values if wrapper is None else {wrapper: values})
            if found != [str(number) for number in range(len(found))]:
                record.positions[field] = found


def plain_record(name: str, found: ConfigObject, object_type: ObjectType) -> ObjectRecord:
    """Give the record of what an object's own page says."""
    content: dict[str, Json] = dict(found)
    for target in object_type.refs:
        field = f"{target}_refs"
        if field in content:
            content[field] = [_ref(ref) for ref in content[field]]
    return ObjectRecord(name, canonical(content))


def _ref(ref: Json) -> Json:
    attr = ref.get("attr")
    return {"uuid": ref["uuid"]} if attr is None else {"uuid": ref["uuid"], "attr": attr}


def shared_with(record: ObjectRecord) -> set[SharedWith]:
    """Give with whom an object says it is shared: a database cannot list that."""
    found: set[SharedWith] = set()
    perms2 = as_dict(record.object.get("perms2")) or {}
    for share in as_list(perms2.get("share")) or ():
        tenant = (as_dict(share) or {}).get("tenant")
        if isinstance(tenant, str) and tenant:
            share_type, _, share_id = tenant.rpartition(":")
            found.add((record.type, share_type or "tenant", share_id))
    return found
