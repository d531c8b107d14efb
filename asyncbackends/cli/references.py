"""Finds parents and refs that lead nowhere, in any database, through the Protocol alone."""

from collections.abc import Callable
from typing import Final

import msgspec

from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import ConfigObject

__all__ = ("Dangling", "References", "find_dangling")

PAGE: Final = 500
KEPT: Final = 1000


class Dangling(msgspec.Struct, frozen=True):
    """A link without an object at its other end."""

    obj_type: str
    uuid: str
    link: str
    """``parent`` or ``<type>_refs``."""
    target: str

    def __str__(self) -> str:
        return f"{self.obj_type} {self.uuid}: {self.link}: there is no {self.target}"


class References(msgspec.Struct):
    """What was looked at and what was found; of the dangling links the first are kept."""

    objects: int = 0
    parents: int = 0
    refs: int = 0
    dangling_count: int = 0
    dangling: list[Dangling] = []


async def find_dangling(
    database: ConfigDatabase, progress: Callable[[str, int], None]
) -> References:
    """Read all objects page by page and look their links up, one round trip a page."""
    found = References()
    fields = {
        name: [f"{target}_refs" for target in object_type.refs]
        for name, object_type in database.schema.types.items()
    }
    for obj_type in sorted(fields):
        page: list[ConfigObject] = []
        iteration = database.object_iter(obj_type, field_names=fields[obj_type], page=PAGE)
        async for each in iteration:
            page.append(each)
            if len(page) == PAGE:
                await _look_up(database, obj_type, fields[obj_type], page, found)
                progress("references", found.objects)
                page.clear()
        await _look_up(database, obj_type, fields[obj_type], page, found)
    return found


async def _look_up(
    database: ConfigDatabase,
    obj_type: str,
    fields: list[str],
    page: list[ConfigObject],
    found: References,
) -> None:
    links: list[Dangling] = []
    for each in page:
        if "parent_uuid" in each:
            found.parents += 1
            target = each["parent_uuid"]
            links.append(Dangling(obj_type, each["uuid"], "parent", target))
        for field in fields:
            for ref in each.get(field, ()):
                found.refs += 1
                links.append(Dangling(obj_type, each["uuid"], field, ref["uuid"]))
    found.objects += len(page)
    if not links:
        return
    there = await database.uuids_to_fq_names(sorted({link.target for link in links}))
    for link in links:
        if link.target not in there:
            found.dangling_count += 1
            if len(found.dangling) < KEPT:
                found.dangling.append(link)
