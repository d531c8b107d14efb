"""Copies a whole configuration database into another one while the first is written to.

First everything is copied as it stands, then what changed meanwhile, told by the source's feed,
then each object is held against the other by its hash. A copy that was interrupted is begun again:
what is equal by then is only looked at.
"""

import asyncio
import time
from functools import partial
from typing import Final

import msgspec

from asyncbackends.errors import ConfigurationError
from asyncbackends.interchange.copying_beside import Beside, SideData
from asyncbackends.interchange.copying_catching_up import CatchingUp
from asyncbackends.interchange.copying_claim import Claim
from asyncbackends.interchange.copying_comparing import Revisions
from asyncbackends.interchange.copying_feed import Feed
from asyncbackends.interchange.copying_objects import Mirror
from asyncbackends.interchange.copying_passes import Passes, id_pages
from asyncbackends.interchange.copying_schemas import schema_to_set
from asyncbackends.interchange.copying_sides import Side, Told
from asyncbackends.interchange.copying_tally import Differences, Tally, Troubles
from asyncbackends.interchange.copying_verifying import Verifying
from asyncbackends.interchange.stepping import first_error
from asyncbackends.protocols.guarantees import Guarantee

__all__ = ("Copy", "CopyReport", "Plan")

SHOWN: Final = 3


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How to copy."""

    side_data: SideData = SideData()
    replace: bool = False
    """Take away whatever the target holds and the source does not."""
    follow: bool = False
    """Go on copying changes until :attr:`Copy.stop` is set."""
    until_idle: float | None = None
    """Or until there was no change for so many seconds."""
    window: float = 1.0
    """Seconds after which a change has been told of, where revisions do not say it."""


class CopyReport(msgspec.Struct, kw_only=True):
    """What became of a copy."""

    resumed: bool = False
    revision: int = 0
    """The source's revision up to which every change is in the target."""
    objects: int = 0
    hashed: int = 0
    """How often an object was held against the other by its hash."""
    shares: int = 0
    rows: int = 0
    texts: int = 0
    absent_texts: int = 0
    """Keys that were named and that the source does not have."""
    written: Tally
    changes: int = 0
    """How many changes the source's feed told of."""
    changed_meanwhile: int = 0
    """Objects that were not equal when they were compared, and were looked at again."""
    put_right: int = 0
    """Shares, rows and texts that were written again: no feed tells of their changes."""
    differences: Differences
    seconds: dict[str, float] = {}
    """What took how long; ``pause`` is the time after the writers were stopped."""


class Copy:
    """One copy."""

    def __init__(self, source: Side, target: Side, plan: Plan, told: Told) -> None:
        self._source = source
        self._target = target
        self._plan = plan
        self._told = told
        self._troubles = Troubles()
        self._tally = Tally()
        self._beside = Beside(source, target, plan.side_data, self._tally)
        self._mirror = Mirror(source, target, self._tally, self._troubles)
        self._passes = Passes(source, target, self._mirror, told)
        self._verifying = self._new_verifying()
        self._seconds: dict[str, float] = {}
        self.stop = asyncio.Event()
        """Set it when nobody writes to the source any more, to end following."""

    async def compare(self) -> CopyReport:
        """Say what differs, and write nothing."""
        schema_to_set(self._source, self._target)
        began = time.perf_counter()
        revision = await self._source.ask(self._source.database.current_revision)
        await self._verifying.look()
        self._took("comparing", began)
        return self._report(revision)

    async def run(self) -> CopyReport:
        """Copy.

        :raises ConfigurationError: nothing was written: the target holds other data, its schema
            is another one, or the two are one database.
        """
        schema, claim = schema_to_set(self._source, self._target), Claim(self._source, self._target)
        resumed = await claim.is_held(replace=self._plan.replace)
        if not resumed and not self._plan.replace:
            await self._check_target()
        await claim.take()
        if schema is not None:
            await self._target.ask(partial(self._target.database.set_schema, schema))
        since = await self._source.ask(self._source.database.current_revision)
        feed = Feed(self._source, since)
        try:
            async with asyncio.TaskGroup() as group:
                following = group.create_task(feed.run())
                revision = await self._phases(feed)
                following.cancel()
        except BaseExceptionGroup as failures:
            raise first_error(failures) from None
        if not self._verifying.differences.count:
            await claim.release()
        return self._report(revision, feed.heard, resumed=resumed)

    async def _check_target(self) -> None:
        """Refuse a target that holds anything else than the source."""
        if not await self._holds_something():
            return
        verifying = self._new_verifying()
        await verifying.look(enough=SHOWN)
        found = verifying.differences
        if found.count:
            shown = "; ".join(f"{each.kind} {each}" for each in found.first[:SHOWN])
            message = (
                f"{self._target} holds other data than the source, and it is no unfinished copy of"
                f" it; nothing was written. With --replace it is made equal, and what the source"
                f" does not have is taken away. It begins with: {shown}"
            )
            raise ConfigurationError(message)

    def _new_verifying(self) -> Verifying:
        return Verifying(
            self._source, self._target, self._mirror, self._beside, self._troubles, self._told
        )

    async def _holds_something(self) -> bool:
        for name in self._target.database.schema.types:
            async for _ in id_pages(self._target, name):
                return True
        return await self._beside.is_held()

    async def _phases(self, feed: Feed) -> int:
        catching_up = CatchingUp(
            self._source,
            self._target,
            feed,
            self._mirror,
            self._passes,
            self._told,
            window=self._plan.window,
        )
        began = time.perf_counter()
        await self._passes.copy()
        await self._beside.equalise()
        self._took("copying", began)
        began = time.perf_counter()
        await catching_up.catch_up()
        self._took("catching up", began)
        since = await self._revisions()
        await self._verify(feed, catching_up, None, "verifying")
        if self._plan.follow and not self._verifying.differences.count:
            await catching_up.catch_up()
            text = (
                f"in step at revision {catching_up.revision}, {self._verifying.objects} objects"
                f" verified; stop the writers now"
            )
            self._told.event("in_step", text, revision=catching_up.revision)
            await catching_up.follow(self.stop, self._plan.until_idle)
            self._told.event(
                "finishing", "no more is followed: the last changes, then verification"
            )
            began = time.perf_counter()
            await catching_up.catch_up()
            await self._beside.equalise()
            await self._verify(feed, catching_up, since, "verifying again")
            self._took("pause", began)
        return catching_up.revision

    async def _revisions(self) -> Revisions | None:
        """Give where both sides stand, None where that does not say which objects changed later."""
        held = self._source.database.guarantees & self._target.database.guarantees
        if Guarantee.DATABASE_WIDE_REVISION not in held:
            return None
        source = await self._source.ask(self._source.database.current_revision)
        target = await self._target.ask(self._target.database.current_revision)
        return Revisions(source, target)

    async def _verify(
        self, feed: Feed, catching_up: CatchingUp, since: Revisions | None, phase: str
    ) -> None:
        began = time.perf_counter()
        total = await self._passes.count()
        await self._verifying.verify(feed, catching_up.catch_up, since, total)
        self._took(phase, began)

    def _took(self, phase: str, began: float) -> None:
        self._seconds[phase] = round(time.perf_counter() - began, 3)

    def _report(self, revision: int, changes: int = 0, *, resumed: bool = False) -> CopyReport:
        verifying, beside = self._verifying, self._beside
        return CopyReport(
            resumed=resumed,
            revision=revision,
            objects=verifying.objects,
            hashed=verifying.hashed,
            shares=beside.shares,
            rows=beside.rows,
            texts=beside.texts,
            absent_texts=beside.absent_texts,
            written=self._tally,
            changes=changes,
            changed_meanwhile=verifying.again,
            put_right=verifying.put_right,
            differences=verifying.differences,
            seconds=self._seconds,
        )
