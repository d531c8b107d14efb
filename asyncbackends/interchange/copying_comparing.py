"""Holds the objects of both sides against each other, by the hash of each."""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Final

import msgspec

from asyncbackends.interchange.copying_digests import digest
from asyncbackends.interchange.copying_links import relaxed_refs
from asyncbackends.interchange.copying_objects import CHUNK, IDENTITY
from asyncbackends.interchange.copying_sides import Pair, Side, Told
from asyncbackends.interchange.copying_streams import chunked, flown, merged
from asyncbackends.interchange.copying_tally import Difference
from asyncbackends.interchange.records import ObjectRecord
from asyncbackends.interchange.stepping import together
from asyncbackends.protocols.values import ConfigObject, ObjectPage

__all__ = ("Comparing", "Revisions", "difference", "read_both")

PAGE: Final = 500
KEPT: Final = 10_000

Head = tuple[str, ConfigObject | None, ConfigObject | None]
"""A uuid, and what a list says about the object on both sides."""


class Revisions(msgspec.Struct, frozen=True):
    """Where both sides stood."""

    source: int
    target: int


class Comparing:
    """Goes once over both sides in the order of uuids, page by page."""

    def __init__(self, source: Side, target: Side, told: Told) -> None:
        self._source = source
        self._target = target
        self._told = told
        self.suspects: list[Pair] = []
        """Those that were not equal when they were looked at."""
        self.more = 0
        """Suspects that there was no room for."""
        self.objects = 0
        """How many objects there are."""
        self.hashed = 0

    async def compare(
        self, since: Revisions | None = None, total: int | None = None, *, enough: int | None = None
    ) -> None:
        """Find the objects that differ.

        :param since: everything was equal at these revisions: only what changed after them is
            hashed, of the others it is seen that they are there, and who relaxed a ref to them.
        :param total: how many objects there may be.
        :param enough: look at no further types when there are so many suspects.
        """
        names = self._source.database.schema.types.keys() | self._target.database.schema.types
        for name in sorted(names):

            async def work(heads: list[Head], name: str = name) -> None:
                await self._compare(name, heads, since)
                self.objects += len(heads)
                self._told.progress("compared", self.objects, total and max(total, self.objects))

            heads = merged(_heads(self._source, name), _heads(self._target, name))
            await flown(chunked(heads, CHUNK), work)
            if enough is not None and len(self.suspects) >= enough:
                return

    async def _compare(self, name: str, heads: list[Head], since: Revisions | None) -> None:
        changed = [(name, head[0]) for head in heads if _may_differ(head, since)]
        wanted, there = await read_both(self._source, self._target, changed)
        self.hashed += len(changed)
        for pair in changed:
            if digest(wanted.get(pair)) != digest(there.get(pair)):
                self._suspect(pair)
        if len(changed) < len(heads) and self._source.is_referred(name):
            known = {*changed}
            await self._compare_relaxed(
                [(name, head[0]) for head in heads if (name, head[0]) not in known]
            )

    async def _compare_relaxed(self, pairs: list[Pair]) -> None:
        """Look for refs that were relaxed since: alone among all changes this makes no revision.

        A ref that is relaxed no more was written, and so told of.
        """
        relaxed = await relaxed_refs(self._source, pairs)
        some = [pair for pair in pairs if relaxed[pair]]
        there = await relaxed_refs(self._target, some)
        for pair in some:
            if relaxed[pair] != there[pair]:
                self._suspect(pair)

    def _suspect(self, pair: Pair) -> None:
        if len(self.suspects) < KEPT:
            self.suspects.append(pair)
        else:
            self.more += 1


def _may_differ(head: Head, since: Revisions | None) -> bool:
    _, one, other = head
    if since is None or one is None or other is None:
        return True
    moved = one.revision > since.source or other.revision > since.target
    return moved or any(one.get(field) != other.get(field) for field in IDENTITY)


async def read_both(
    source: Side, target: Side, pairs: Sequence[Pair]
) -> list[dict[Pair, ObjectRecord]]:
    """Read objects of both sides, whole."""
    if not pairs:
        return [{}, {}]
    return await together([source.read(pairs, relaxed=True), target.read(pairs, relaxed=True)])


def difference(
    pair: Pair, wanted: ObjectRecord | None, there: ObjectRecord | None, trouble: str
) -> Difference:
    """Say how an object differs: which fields, not what is in them."""
    one, other = ({} if record is None else record.object for record in (wanted, there))
    name = ":".join(one.get("fq_name") or other.get("fq_name") or ())
    if wanted is None or there is None:
        return Difference("missing" if there is None else "surplus", *pair, name, trouble)
    fields = sorted(
        field for field in one.keys() | other.keys() if one.get(field) != other.get(field)
    )
    fields += [f"positions of {field}" for field in _positions_that_differ(wanted, there)]
    fields += ["relaxed refs"] if wanted.relaxed_by != there.relaxed_by else []
    reason = f"in {', '.join(fields)}" + (f"; {trouble}" if trouble else "")
    return Difference("differs", *pair, name, reason)


def _positions_that_differ(wanted: ObjectRecord, there: ObjectRecord) -> list[str]:
    fields = sorted(wanted.positions.keys() | there.positions.keys())
    return [field for field in fields if wanted.positions.get(field) != there.positions.get(field)]


async def _heads(side: Side, name: str) -> AsyncIterator[tuple[str, ConfigObject]]:
    if name not in side.database.schema.types:
        return
    marker: str | None = None
    while True:
        page = await side.ask(partial(_page, side, name, marker))
        for found in page:
            yield found["uuid"], found
        marker = page.marker
        if marker is None:
            return


async def _page(side: Side, name: str, marker: str | None) -> ObjectPage[ConfigObject]:
    return await side.database.object_list(name, marker=marker, limit=PAGE, field_names=[])
