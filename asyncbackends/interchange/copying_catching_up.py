"""Applies what the source's feed tells of, until the target is in step with it."""

import asyncio
from functools import partial
from typing import Final

from asyncbackends.errors import ConfigurationError
from asyncbackends.interchange.copying_feed import Feed
from asyncbackends.interchange.copying_objects import CHUNK, Mirror
from asyncbackends.interchange.copying_passes import Passes
from asyncbackends.interchange.copying_schemas import schema_to_set
from asyncbackends.interchange.copying_sides import Pair, Side, Told

__all__ = ("CatchingUp",)

LOOK: Final = 0.25


class CatchingUp:
    """Brings one target after one source."""

    def __init__(
        self,
        source: Side,
        target: Side,
        feed: Feed,
        mirror: Mirror,
        passes: Passes,
        told: Told,
        *,
        window: float,
    ) -> None:
        """Make one.

        :param window: seconds after which a change has been told of, where revisions do not say it.
        """
        self._source = source
        self._target = target
        self._feed = feed
        self._mirror = mirror
        self._passes = passes
        self._told = told
        self._window = window
        self._applied = 0
        self.revision = 0
        """The source's revision up to which every change is in the target."""

    async def catch_up(self) -> None:
        """Apply every change that was made before the call."""
        clock, feed = asyncio.get_running_loop(), self._feed
        mark = await self._current_revision()
        until = clock.time() + self._window
        # Nobody is caught up with who writes faster than this: what came later is left for later.
        left: int | None = None
        while True:
            if feed.lost:
                await self._begin_anew()
                mark, left = await self._current_revision(), None
                until = clock.time() + self._window
            if not feed.is_live:
                until = clock.time() + self._window
            told_all = feed.is_ordered and feed.seen >= mark
            if left is None and (told_all or clock.time() >= until):
                left = feed.waiting
            if left == 0:
                break
            pairs = feed.take(CHUNK if left is None else min(CHUNK, left))
            if pairs:
                left = None if left is None else left - len(pairs)
                await self._apply(pairs)
            elif left is None:
                await feed.news(min(LOOK, max(0.0, until - clock.time())))
            else:
                left = 0
        self.revision = mark

    async def follow(self, stop: asyncio.Event, until_idle: float | None) -> None:
        """Apply changes as they come, until ``stop`` is set or there were none for a while."""
        clock, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        while not stop.is_set():
            pairs = self._feed.take(CHUNK)
            if self._feed.lost or pairs:
                await (self._begin_anew() if self._feed.lost else self._apply(pairs))
                continue
            idle = clock.time() - max(began, self._feed.news_at)
            if until_idle is not None and idle >= until_idle:
                return
            await self._feed.news(LOOK)

    async def _begin_anew(self) -> None:
        """Compare everything, since changes may have been missed."""
        self._told.event("lost", "the feed of changes has a gap: everything is compared again")
        self._feed.begin_anew()
        await self._passes.copy()

    async def _apply(self, pairs: list[Pair]) -> None:
        await self._check_types(pairs)
        await self._mirror.equalise(pairs)
        self._applied += len(pairs)
        self._told.progress("changes", self._applied, self._applied + self._feed.waiting)

    async def _check_types(self, pairs: list[Pair]) -> None:
        """Follow a schema that grew."""
        schema = schema_to_set(self._source, self._target)
        if schema is not None:
            await self._target.ask(partial(self._target.database.set_schema, schema))
        unknown = {obj_type for obj_type, _ in pairs} - self._source.database.schema.types.keys()
        if unknown:
            message = (
                f"{self._source} got the types {', '.join(sorted(unknown))} during the copy;"
                f" run the same command again"
            )
            raise ConfigurationError(message)

    async def _current_revision(self) -> int:
        return await self._source.ask(self._source.database.current_revision)
