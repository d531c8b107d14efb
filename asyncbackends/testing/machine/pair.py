"""Two open databases that are asked the same, in a loop of their own."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

from asyncbackends.errors import BackendError
from asyncbackends.opening import open_config_database
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.values import ALL_FIELDS, Change
from asyncbackends.testing.config_database.sample import KIT_SCHEMA
from asyncbackends.testing.harness import AsyncioHarness
from asyncbackends.testing.machine.comparing import Revisions, plain, same
from asyncbackends.testing.machine.strategies import IDS, KEYS, SHARES

__all__ = ("Ask", "Pair")

Ask = Callable[[ConfigDatabase], Awaitable[Any]]


class Pair:
    """The database under test and the memory engine beside it."""

    def __init__(self, settings: Mapping[str, Any], integrity: str) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._options = {"schema": KIT_SCHEMA, "integrity": integrity}
        self.harness = AsyncioHarness()
        try:
            self.subject, self.reference = self.run(self._open(settings))
        except BaseException:
            self._runner.close()
            raise
        self.guarantees = self.subject.guarantees
        self.revisions = Revisions(ordered=Guarantee.DATABASE_WIDE_REVISION in self.guarantees)

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end."""
        return self._runner.run(call)

    async def _open(self, settings: Mapping[str, Any]) -> tuple[ConfigDatabase, ConfigDatabase]:
        reference = {"engine": "memory", "endpoints": f"reference-{uuid4()}"}
        opened: list[ConfigDatabase] = []
        async with AsyncExitStack() as stack:
            for one in (settings, reference):
                options: dict[str, Any] = {**one, **self._options}
                opened.append(await stack.enter_async_context(open_config_database(**options)))
            self._stack = stack.pop_all()
        return opened[0], opened[1]

    def close(self) -> None:
        """Close both, and the loop."""
        try:
            self.run(self._stack.aclose())
        finally:
            self._runner.close()

    def agree(self, ask: Ask, ask_reference: Ask | None = None) -> Any:
        """Ask both and compare; give the reference's answer, which may be an error."""
        return self.answers(ask, ask_reference)[1]

    def answers(self, ask: Ask, ask_reference: Ask | None = None) -> tuple[Any, Any]:
        """Ask both and compare; give both answers."""
        reference = self.run(_answer_of(self.reference, ask_reference or ask))
        subject = self.run(_answer_of(self.subject, ask))
        assert same(subject, reference, self.revisions), (
            f"{self.subject.engine}: {plain(subject)}\n     memory: {plain(reference)}"
        )
        return subject, reference

    def agree_on_everything(self) -> None:
        """Compare all that can be read, and the log of changes."""
        for obj_type in KIT_SCHEMA.types:
            self.agree(lambda d, of=obj_type: _everything_of(d, of))  # type: ignore[misc]  # binds now
            for share in SHARES:
                self.agree(lambda d, of=obj_type, to=share: d.get_shared(of, *to))  # type: ignore[misc]  # binds now
        self.agree(lambda d: d.uuids_to_fq_names(IDS))
        for uuid in IDS:
            self.agree(lambda d, of=uuid: d.get_relaxed_refs(of))  # type: ignore[misc]  # binds now
        self.agree(lambda d: d.useragent_kv_retrieve([*KEYS]))
        self.agree(lambda d: d.kv_list("t"))
        self.run(self._agree_on_changes())

    async def _agree_on_changes(self) -> None:
        expected: list[Change] = []
        last = await self.reference.current_revision()
        async with self.reference.watch(since=0) as feed:
            while not await self._is_over(expected, last):
                expected += [one for one in await self.harness.collect(feed, 1) if _is_change(one)]
        found: list[Change] = []
        async with self.subject.watch(since=0) as feed:
            while len(found) < len(expected):
                for one in await self.harness.collect(feed, 1):
                    assert isinstance(one, Change), f"nothing was lost, and there is {one}"
                    if Guarantee.ORDERED_WATCH in self.guarantees or one not in found:
                        found.append(one)
        if Guarantee.ORDERED_WATCH not in self.guarantees:
            for log in (found, expected):
                log.sort(key=lambda change: (change.uuid, change.revision))
        assert same(found, expected, self.revisions), f"{plain(found)}\n{plain(expected)}"

    async def _is_over(self, seen: list[Change], last: int) -> bool:
        """Say whether the reference's log has no change after those seen."""
        after = seen[-1].revision if seen else 0
        async with self.reference.watch(since=after) as feed:
            return after == last or await self.harness.quiet(feed, 0.001)


async def _answer_of(database: ConfigDatabase, ask: Ask) -> Any:
    """Give the answer, or the error."""
    try:
        return await ask(database)
    except BackendError as error:
        assert not error.maybe_applied
        return error


async def _everything_of(database: ConfigDatabase, obj_type: str) -> list[Any]:
    """Give all objects of a type with all fields, and the positions of their elements."""
    described = KIT_SCHEMA.types[obj_type]
    collections = [*described.lists, *described.maps]
    found: list[Any] = []
    async for one in database.object_iter(obj_type, field_names=ALL_FIELDS, page=2):
        found.append(one)
        found.append(await database.prop_collection_read(obj_type, one["uuid"], collections))
    return found


def _is_change(event: object) -> bool:
    """Say whether an event is a change: the reference keeps all of them."""
    assert isinstance(event, Change)
    return True
