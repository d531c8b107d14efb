"""Takes objects away from the target, with whatever there still depends on them."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from asyncbackends.batch import Batch
from asyncbackends.errors import (
    HasChildrenError,
    NotFoundError,
    ObjectNotFoundError,
    StillReferencedError,
)
from asyncbackends.interchange.copying_sides import Pair, Side
from asyncbackends.interchange.copying_tally import Tally
from asyncbackends.interchange.ordering import type_groups
from asyncbackends.interchange.presence import refs_of
from asyncbackends.interchange.records import ObjectRecord
from asyncbackends.interchange.units import cause

__all__ = ("Deleting",)

ATTEMPTS: Final = 1000


class Deleting:
    """Deletes in the target."""

    def __init__(self, target: Side, tally: Tally) -> None:
        self._target = target
        self._database = target.database
        self._tally = tally

    async def delete(self, doomed: Mapping[Pair, ObjectRecord]) -> set[Pair]:
        """Delete objects that the source does not have, or not with this name and parent.

        :returns: others that had to be changed or deleted for it, to be looked at again.
        """
        await self._strip(doomed)
        groups = type_groups(self._database.schema)
        depth = {name: number for number, group in enumerate(groups) for name in group}
        children_first = sorted(doomed, key=lambda pair: -depth[pair[0]])

        def queue(unit: Batch, pair: Pair) -> None:
            unit.object_delete(*pair)

        refused = await self._target.ask(lambda: self._target.units.write(children_first, queue))
        disturbed: set[Pair] = set()
        for pair, error in refused:
            if not isinstance(cause(error), ObjectNotFoundError):
                await self._delete_with_all(pair, disturbed)
        self._tally.deleted += len(doomed)
        return disturbed - doomed.keys()

    async def _strip(self, doomed: Mapping[Pair, ObjectRecord]) -> None:
        """Take their refs away, so that two which refer to each other can go."""
        types = self._database.schema.types
        fields = {pair: refs_of(record, types[pair[0]]) for pair, record in doomed.items()}

        def queue(unit: Batch, pair: Pair) -> None:
            unit.object_update(*pair, dict.fromkeys(fields[pair]))

        holders = [pair for pair in doomed if fields[pair]]
        if holders:
            await self._target.ask(lambda: self._target.units.write(holders, queue))

    async def _delete_with_all(self, pair: Pair, disturbed: set[Pair]) -> None:
        for _ in range(ATTEMPTS):
            try:
                await self._target.ask(partial(self._database.object_delete, *pair))
            except ObjectNotFoundError:
                return
            except HasChildrenError as error:
                for child in error.children:
                    await self._delete_child(child, disturbed)
                if not error.children:
                    raise
            except StillReferencedError as error:
                for holder in error.holders:
                    await self._cut(holder, pair, disturbed)
            else:
                return

    async def _delete_child(self, uuid: str, disturbed: set[Pair]) -> None:
        child = await self.stored_pair(uuid)
        if child is not None:
            disturbed.add(child)
            await self._strip(await self._target.read([child]))
            await self._delete_with_all(child, disturbed)

    async def _cut(self, holder: str, pair: Pair, disturbed: set[Pair]) -> None:
        """End a ref that stands in the way; it comes back if the source still has it."""
        found = await self.stored_pair(holder)
        if found is not None:
            disturbed.add(found)
            await self._target.ask(partial(self._database.delete_ref, *found, *pair))

    async def stored_pair(self, uuid: str) -> Pair | None:
        """Find the type that an object has in the target."""
        try:
            return await self._target.ask(partial(self._database.uuid_to_obj_type, uuid)), uuid
        except NotFoundError:
            return None
