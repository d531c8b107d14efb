"""Verifies a copy while its source goes on changing.

What differs is looked at again when the feed has told of all changes up to then. It is wrong if the
feed told of no change of that object around the second look; otherwise it is looked at once more.
What is wrong is said and left as it is.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from asyncbackends.interchange.copying_beside import Beside, Fix
from asyncbackends.interchange.copying_comparing import (
    Comparing,
    Revisions,
    difference,
    read_both,
)
from asyncbackends.interchange.copying_digests import digest
from asyncbackends.interchange.copying_feed import Feed, Touched
from asyncbackends.interchange.copying_objects import CHUNK, Mirror
from asyncbackends.interchange.copying_sides import Pair, Side, Told
from asyncbackends.interchange.copying_tally import Difference, Differences, Troubles
from asyncbackends.interchange.records import ObjectRecord
from asyncbackends.object_model.values import json_equal
from asyncbackends.protocols.values import Json

__all__ = ("Verifying",)

PASSES: Final = 5
LOOKS: Final = 5
CATCHES: Final = 20
REPAIRS: Final = 3

Both = tuple[ObjectRecord | None, ObjectRecord | None]
CatchUp = Callable[[], Awaitable[None]]


class Verifying:
    """Finds differences that time does not explain."""

    def __init__(
        self,
        source: Side,
        target: Side,
        mirror: Mirror,
        beside: Beside,
        troubles: Troubles,
        told: Told,
    ) -> None:
        self._source = source
        self._target = target
        self._mirror = mirror
        self._beside = beside
        self._troubles = troubles
        self._told = told
        self.differences = Differences()
        self.objects = 0
        self.hashed = 0
        self.again = 0
        """Objects that were not equal at first, and were looked at again."""
        self.put_right = 0
        """Shares, rows and texts that had to be written again: no feed tells of their changes."""

    async def look(self, *, enough: int | None = None) -> None:
        """Find differences, and write nothing."""
        comparing = Comparing(self._source, self._target, self._told)
        await comparing.compare(enough=enough)
        self.objects, self.hashed = comparing.objects, comparing.hashed
        for pair, both in (await self._unequal(comparing.suspects)).items():
            self.differences.add(difference(pair, *both, ""))
        self.differences.count += comparing.more
        if enough is None or self.differences.count < enough:
            async for fix in self._beside.look():
                self.differences.add(fix.difference)

    async def verify(
        self, feed: Feed, catch_up: CatchUp, since: Revisions | None, total: int
    ) -> None:
        """Find differences, while others write to the source.

        :param catch_up: applies every change that was made before it is called.
        :param since: see :meth:`.Comparing.compare`.
        """
        for _ in range(PASSES):
            comparing = Comparing(self._source, self._target, self._told)
            await comparing.compare(since, total)
            self.objects = comparing.objects
            self.hashed += comparing.hashed
            self.again += len(comparing.suspects)
            await self._settle(comparing.suspects, feed, catch_up)
            if not comparing.more or self.differences.count:
                self.differences.count += comparing.more
                break
        await self._verify_beside()

    async def _settle(self, suspects: list[Pair], feed: Feed, catch_up: CatchUp) -> None:
        for _ in range(LOOKS):
            if not suspects:
                break
            touched = feed.note()
            await catch_up()
            found = await self._unequal(suspects)
            # Now it is known what changed before or during that look.
            await catch_up()
            suspects = []
            for pair, both in found.items():
                if pair[1] in touched:
                    suspects.append(pair)
                elif _relaxed_alone(*both):
                    await self._catch(pair, touched, catch_up)
                else:
                    self._differs(pair, *both)
        else:
            touched = feed.note()
            for pair in suspects:
                await self._catch(pair, touched, catch_up)
        feed.note_no_more()

    async def _unequal(self, pairs: list[Pair]) -> dict[Pair, Both]:
        found: dict[Pair, Both] = {}
        for at in range(0, len(pairs), CHUNK):
            some = pairs[at : at + CHUNK]
            wanted, there = await read_both(self._source, self._target, some)
            for pair in some:
                both = wanted.get(pair), there.get(pair)
                if digest(both[0]) != digest(both[1]):
                    found[pair] = both
        return found

    async def _catch(self, pair: Pair, touched: Touched, catch_up: CatchUp) -> None:
        """Copy an object that never rests, or whose refs were relaxed: no feed tells of that.

        It is right if it is as the source's was at any moment of that. Who relaxed a ref to it
        belongs to these holders, so those that do not rest either are left to themselves.
        """
        both: Both = (None, None)
        content = rested = False
        for _ in range(CATCHES):
            before = (await self._source.read([pair], relaxed=True)).get(pair)
            self._mirror.noted = {}
            await self._mirror.equalise([pair])
            written, self._mirror.noted = self._mirror.noted.get(pair), None
            wanted, there = await read_both(self._source, self._target, [pair])
            both = wanted.get(pair), there.get(pair)
            seen = {digest(each, relaxed=False) for each in (before, both[0])}
            content = content or digest(both[1], relaxed=False) in seen | {written}
            moved = _relaxed_by(before) ^ _relaxed_by(both[0])
            unequal = (_relaxed_by(both[0]) ^ _relaxed_by(both[1])) - moved
            if content and not all(holder in touched for holder in unequal):
                # What was just read of a holder may be newer than what the feed has told of it.
                await catch_up()
            if content and all(holder in touched for holder in unequal):
                return
            rested = digest(before) == digest(both[0])
        if rested:
            self._differs(pair, *both)
        else:
            reason = "it changed all the time; compare again when nobody writes"
            self.differences.add(Difference("differs", *pair, "", reason))

    def _differs(self, pair: Pair, wanted: ObjectRecord | None, there: ObjectRecord | None) -> None:
        self.differences.add(difference(pair, wanted, there, self._troubles.of(pair)))

    async def _verify_beside(self) -> None:
        """Write again what differs; what then differs from the same as before is wrong."""
        before: dict[tuple[str, str, str], Json] = {}
        wrong: list[Difference] = []
        for _ in range(REPAIRS):
            fixes = [fix async for fix in self._beside.look()]
            wrong = [
                fix.difference
                for fix in fixes
                if (key := _key(fix)) in before and json_equal(before[key], fix.wanted)
            ]
            if not fixes:
                break
            before = {_key(fix): fix.wanted for fix in fixes}
            self.put_right += len(fixes)
            await self._beside.write(fixes)
        for each in wrong:
            self.differences.add(each)


def _relaxed_alone(wanted: ObjectRecord | None, there: ObjectRecord | None) -> bool:
    return digest(wanted, relaxed=False) == digest(there, relaxed=False)


def _relaxed_by(record: ObjectRecord | None) -> set[str]:
    return set() if record is None else {*record.relaxed_by}


def _key(fix: Fix) -> tuple[str, str, str]:
    found = fix.difference
    return found.what, found.id, found.name
