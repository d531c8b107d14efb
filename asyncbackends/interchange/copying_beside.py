"""What stands beside the objects: shares, rows of key-value tables, texts of the useragent store.

No feed tells of their changes, so they are compared as a whole whenever they are looked at.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal

import msgspec

from asyncbackends.batch import Batch
from asyncbackends.interchange.copying_sides import Side
from asyncbackends.interchange.copying_streams import chunked, merged
from asyncbackends.interchange.copying_tally import Difference, Tally
from asyncbackends.object_model.values import json_equal
from asyncbackends.protocols.values import Json

__all__ = ("Beside", "Fix", "SideData")

PAGE: Final = 200


class SideData(msgspec.Struct, frozen=True):
    """What has to be named, since a database cannot list it."""

    tables: tuple[str, ...] = ()
    shares: tuple[tuple[str, str], ...] = ()
    """share_type and share_id, beside the global ones and those that perms2 of objects name."""
    texts: tuple[str, ...] = ()
    """Keys of the useragent store."""


class Fix(msgspec.Struct, frozen=True):
    """Something that differs, what the source had then, and the write that makes it equal."""

    difference: Difference
    wanted: Json
    write: Callable[[Batch], object]


class Beside:
    """Compares and copies it."""

    def __init__(self, source: Side, target: Side, named: SideData, tally: Tally) -> None:
        self._source = source
        self._target = target
        self._named = named
        self._tally = tally
        self.shares = self.rows = self.texts = 0
        """How many the source had, the last time."""
        self.absent_texts = 0
        """Keys that were named and that the source does not have."""

    async def equalise(self) -> None:
        """Write what differs."""
        async for fixes in chunked(self.look(), PAGE):
            await self.write(fixes)

    async def write(self, fixes: Sequence[Fix]) -> None:
        """Make this equal."""

        def queue(unit: Batch, fix: Fix) -> None:
            fix.write(unit)

        write = partial(self._target.units.write, fixes, queue)
        self._tally.beside += len(fixes) - len(await self._target.ask(write))

    async def is_held(self) -> bool:
        """Say whether the target has any row or text of those that are named."""
        database = self._target.database
        for table in self._named.tables:
            if len(await self._target.ask(partial(database.kv_list, table, limit=1))):
                return True
        for keys in _chunks(self._named.texts):
            if await self._target.ask(partial(database.useragent_kv_retrieve, keys)):
                return True
        return False

    async def look(self) -> AsyncIterator[Fix]:
        """Give what differs."""
        self.shares = self.rows = self.texts = self.absent_texts = 0
        types = self._source.database.schema.types
        named = {(name, *share) for name in types for share in self._named.shares}
        named |= {(name, "global", "") for name in types}
        # Whom the objects name, of which all have been read by now.
        for share in sorted(named | self._source.shared_with | self._target.shared_with):
            async for fix in self._compare_shares(*share):
                yield fix
        for table in sorted({*self._named.tables}):
            async for fix in self._compare_rows(table):
                yield fix
        for keys in _chunks(sorted({*self._named.texts})):
            async for fix in self._compare_texts(keys):
                yield fix

    async def _compare_shares(
        self, obj_type: str, share_type: str, share_id: str
    ) -> AsyncIterator[Fix]:
        asked = (obj_type, share_id, share_type)
        wanted, there = await _shares(self._source, *asked), await _shares(self._target, *asked)
        self.shares += len(wanted)
        whom = f"{share_type}:{share_id}" if share_id else share_type
        for uuid in _unequal(wanted, there):
            write: Callable[[Batch], object] = partial(
                Batch.del_shared,
                obj_type=obj_type,
                obj_id=uuid,
                share_id=share_id,
                share_type=share_type,
            )
            if uuid in wanted:
                write = partial(
                    Batch.set_shared,
                    obj_type=obj_type,
                    obj_id=uuid,
                    share_id=share_id,
                    share_type=share_type,
                    rwx=wanted[uuid],
                )
            found = _difference("share", uuid, f"{obj_type}, {whom}", wanted, there)
            yield Fix(found, wanted.get(uuid), write)

    async def _compare_rows(self, table: str) -> AsyncIterator[Fix]:
        rows = merged(_rows(self._source, table), _rows(self._target, table))
        async for key, row, stored in rows:
            wanted, there = _only(key, row), _only(key, stored)
            self.rows += len(wanted)
            for _ in _unequal(wanted, there):
                write: Callable[[Batch], object] = partial(Batch.kv_delete, table=table, key=key)
                if row is not None:
                    write = partial(Batch.kv_replace, table=table, key=key, columns=row)
                yield Fix(_difference("row", key, table, wanted, there), row, write)

    async def _compare_texts(self, keys: list[str]) -> AsyncIterator[Fix]:
        wanted, there = await _texts(self._source, keys), await _texts(self._target, keys)
        self.texts += len(wanted)
        self.absent_texts += len(keys) - len(wanted)
        for key in _unequal(wanted, there):
            write: Callable[[Batch], object] = partial(Batch.useragent_kv_delete, key=key)
            if key in wanted:
                write = partial(Batch.useragent_kv_store, key=key, value=wanted[key])
            yield Fix(_difference("text", key, "", wanted, there), wanted.get(key), write)


async def _shares(side: Side, obj_type: str, share_id: str, share_type: str) -> dict[str, int]:
    if obj_type not in side.database.schema.types:
        return {}
    return dict(await side.ask(partial(side.database.get_shared, obj_type, share_id, share_type)))


async def _rows(side: Side, table: str) -> AsyncIterator[tuple[str, dict[str, Json]]]:
    marker: str | None = None
    while True:
        read = partial(side.database.kv_list, table, marker=marker, limit=PAGE)
        page = await side.ask(read)
        for key, columns in page:
            yield key, columns
        marker = page.marker
        if marker is None:
            return


async def _texts(side: Side, keys: list[str]) -> dict[str, str]:
    return await side.ask(lambda: side.database.useragent_kv_retrieve(keys))


def _only(key: str, row: dict[str, Json] | None) -> dict[str, Json]:
    return {} if row is None else {key: row}


def _unequal(wanted: Mapping[str, Json], there: Mapping[str, Json]) -> Iterator[str]:
    for key in sorted(wanted.keys() | there.keys()):
        if key not in wanted or key not in there or not json_equal(wanted[key], there[key]):
            yield key


def _difference(
    what: Literal["share", "row", "text"],
    key: str,
    name: str,
    wanted: Mapping[str, Any],
    there: Mapping[str, Any],
) -> Difference:
    kind: Literal["missing", "surplus", "differs"] = "differs"
    if key not in there:
        kind = "missing"
    elif key not in wanted:
        kind = "surplus"
    return Difference(kind, what, key, name)


def _chunks(keys: Sequence[str]) -> Iterator[list[str]]:
    for at in range(0, len(keys), PAGE):
        yield list(keys[at : at + PAGE])
