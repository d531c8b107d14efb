"""Finds whatever a database would refuse, before anything is written."""

from collections.abc import Iterator, Mapping

import msgspec

from asyncbackends.errors import InvalidRequestError
from asyncbackends.interchange.files import RecordFile
from asyncbackends.interchange.findings import Findings
from asyncbackends.interchange.presence import element_updates
from asyncbackends.interchange.records import ObjectRecord
from asyncbackends.interchange.stepping import batches
from asyncbackends.object_model.model import ObjectModel
from asyncbackends.object_model.writes import Create
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.schema import Schema

__all__ = ("find_refusals",)

BATCH = 200


class _Link(msgspec.Struct, frozen=True):
    where: str
    field: str
    to_type: str
    uuid: str


async def find_refusals(
    database: ConfigDatabase,
    schema: Schema,
    file: RecordFile,
    types: Mapping[str, str],
    findings: Findings,
    *,
    named_by_line: bool,
    skip: frozenset[int],
) -> None:
    """Check every object by the rules of the schema, and where its links lead."""
    model = ObjectModel(schema, database.limits)
    checked = _checked(model, file, types, findings, named_by_line=named_by_line, skip=skip)
    async for links in batches(checked, BATCH):
        for to_type in sorted({link.to_type for link in links}):
            mine = [link for link in links if link.to_type == to_type]
            uuids = sorted({link.uuid for link in mine})
            known = to_type in database.schema.types
            found = await database.object_read(to_type, uuids, [], missing="skip") if known else []
            there = {each["uuid"] for each in found}
            for link in mine:
                if link.uuid not in there:
                    findings.damage(link.where, link.field, f"there is no {to_type} {link.uuid}")


def _checked(
    model: ObjectModel,
    file: RecordFile,
    types: Mapping[str, str],
    findings: Findings,
    *,
    named_by_line: bool,
    skip: frozenset[int],
) -> Iterator[_Link]:
    """Check objects; gives the links that lead out of the dump."""
    names: dict[str, dict[str, str]] = {}
    seen: set[str] = set()
    for line, record in file.records():
        if not isinstance(record, ObjectRecord) or line in skip:
            continue
        where = f"line {line}, " if named_by_line else ""
        where += f"{record.type} {record.uuid}"
        try:
            create = model.create(record.type, record.uuid, record.object)
            list(element_updates(record, model.view(record.type).object_type))
        except InvalidRequestError as error:
            findings.damage(where, "", str(error))
            continue
        holder = names.setdefault(create.obj_type, {}).setdefault(create.key, create.uuid)
        if holder != create.uuid:
            findings.damage(where, "fq_name", f"{holder} has the same name {create.key}")
        for link in _links(create, where):
            if link.uuid not in types:
                yield link
            elif types[link.uuid] != link.to_type:
                findings.damage(where, link.field, f"{link.uuid} is a {types[link.uuid]}")
            elif link.field == "parent_uuid" and link.uuid not in seen:
                findings.damage(where, link.field, "its parent stands behind it")
        seen.add(create.uuid)


def _links(create: Create, where: str) -> Iterator[_Link]:
    if create.parent_uuid is not None and create.parent_type is not None:
        yield _Link(where, "parent_uuid", create.parent_type, create.parent_uuid)
    for target, refs in create.refs.items():
        for ref in refs:
            if ref.uuid is not None:
                yield _Link(where, f"{target}_refs", target, ref.uuid)
