"""A call that is cancelled anywhere has happened as a whole, or not at all."""

from collections.abc import Awaitable
from typing import Any

import pytest

from asyncbackends.protocols.nodes import NodeEvent
from asyncbackends.testing.coordination.clean_ends import CleanEnds
from asyncbackends.testing.coordination.every_write import (
    EVERY_WRITE,
    Place,
    Write,
    prepared_place,
    state_of,
)
from asyncbackends.testing.coordination.feeds import events_of
from asyncbackends.testing.coordination.fixtures import (
    Coordination,
    CoordinationFixtures,
    OpenCoordination,
    new_root,
)
from asyncbackends.testing.harness import Cancelling, Harness

__all__ = ("CoordinationCancellingConformance",)

MOST_SUSPENSIONS = 200
ROUNDS = 3
"""How often a call that was cancelled late is tried: it depends on who is faster."""


class CoordinationCancellingConformance(CoordinationFixtures):
    """Cancelling every write, read and wait."""

    @pytest.mark.parametrize("how", ["task", "late", "scope"])
    @pytest.mark.parametrize("write", EVERY_WRITE, ids=lambda write: write.name)
    async def test_cancelled_call_happened_as_a_whole_or_not_at_all(
        self,
        coordination: Coordination,
        other: Coordination,
        harness: Harness,
        write: Write,
        how: Cancelling,
    ) -> None:
        example = await prepared_place(coordination)
        before = await state_of(other, example)
        await write.perform(coordination, example)
        after = await state_of(other, example)
        assert after != before
        for suspension in range(1, MOST_SUSPENSIONS):
            completed = False
            for _ in range(ROUNDS if how == "late" else 1):
                place = await prepared_place(coordination)
                call = write.perform(coordination, place)
                completed = await harness.cancel_at(_as_coroutine(call), suspension, how)

                async def whole(place: Place = place, done: bool = completed) -> bool:
                    found = await state_of(other, place)
                    return found == after or (not done and found == before)

                # What was on its way may still arrive; a half of it stays for ever.
                assert await harness.eventually(whole), await state_of(other, place)
            if completed:
                assert suspension > 1, f"{write.name} never suspends: it starves the loop"
                return
        pytest.fail(f"{write.name} did not end within {MOST_SUSPENSIONS} suspensions")

    async def test_cancelled_contender_leaves_no_entry(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        """Nobody has its ticket, so nobody could ever withdraw it."""

        async def cancelled(suspension: int) -> bool:
            completed = await harness.cancel_at(coordination.contend(root), suspension)
            if completed:
                (ticket,) = await other.contenders(root)
                await other.withdraw(ticket)
            return completed

        ends = CleanEnds(harness, other, root)
        for suspension in range(1, MOST_SUSPENSIONS):
            if await ends.after(cancelled(suspension)):
                return
        pytest.fail("it did not end")

    async def test_many_contenders_cancelled_anywhere_leave_no_entry(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        mine = await coordination.contend(root)
        for first in range(1, 4):
            calls = (
                harness.cancel_at(client.contend(root), first + number % 3)
                for number, client in enumerate([coordination, other] * 10)
            )
            completed = sum(await harness.gather(*calls))

            async def only_those(count: int = completed + 1) -> bool:
                return len(await other.contenders(root)) == count

            # At once, but for a service that keeps who cleans up waiting.
            assert await harness.eventually(only_those), await other.contenders(root)
            found = await other.contenders(root)
            for ticket in found[1:]:
                await other.withdraw(ticket)
            assert await other.contenders(root) == [mine]

    async def test_cancelled_read_leaves_the_service_working(
        self, coordination: Coordination, root: str, harness: Harness
    ) -> None:
        await coordination.create_node(f"{root}/a", b"1")

        async def read() -> None:
            await coordination.get_node(f"{root}/a")
            await coordination.read_node(f"{root}/a", include_timestamp=True)
            await coordination.get_children(root)
            await coordination.exists(root)
            await coordination.contenders(root)
            await coordination.server_info()

        for suspension in range(1, MOST_SUSPENSIONS):
            completed = await harness.cancel_at(read(), suspension)
            assert await coordination.read_node(f"{root}/a") == b"1"
            if completed:
                return
        pytest.fail("the reads did not end")

    @pytest.mark.parametrize("initial", [False, True])
    async def test_cancelled_watch_leaves_nothing(
        self, coordination: Coordination, root: str, harness: Harness, initial: bool
    ) -> None:
        before = harness.running()
        await coordination.create_node(root)

        async def follow() -> None:
            async with coordination.watch(root, scope="tree", initial=initial) as feed:
                await anext(feed)
                await anext(feed)

        for suspension in range(1, 12):
            done: list[bool] = []

            async def write(done: list[bool] = done) -> None:
                # However long it takes to begin, something comes after that.
                while not done:
                    await coordination.create_node(f"{root}{new_root()}")
                    await harness.sleep(0.01)

            async with harness.background(write()) as writing:
                async with harness.deadline(5):
                    await harness.cancel_at(follow(), suspension)
                done.append(True)
                await writing.result()
        assert harness.running() == before

    async def test_cancelled_open_leaves_nothing(
        self, open_coordination: OpenCoordination, coordination: Coordination, harness: Harness
    ) -> None:
        before = harness.running()

        async def opened() -> None:
            async with open_coordination() as opening:
                await opening.exists("/")

        async def as_before() -> bool:
            return harness.running() == before

        for suspension in range(1, MOST_SUSPENSIONS):
            completed = await harness.cancel_at(opened(), suspension)
            assert await harness.eventually(as_before)
            if completed:
                break
        assert await coordination.exists("/")

    async def test_cancelled_writers_do_not_confuse_a_watch(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        await coordination.create_node(root, b"0")
        async with other.watch(root) as feed:
            for first in range(0, 100, 20):
                calls = (
                    harness.cancel_at(
                        _as_coroutine(coordination.update_node(root, str(number))),
                        1 + number % 3,
                        "late" if number % 5 else "task",
                    )
                    for number in range(first, first + 20)
                )
                await harness.gather(*calls)
            last = await coordination.update_node(root, b"last")
            events: list[NodeEvent] = []
            while not events or (events[-1].revision or 0) < last.modified_revision:
                events += await events_of(harness, feed, 1)
                if events[-1].revision is None and await harness.quiet(feed, 0.2):
                    break
            assert {event.kind for event in events} == {"updated"}
            assert events[-1].value in {None, b"last"}


async def _as_coroutine(call: Awaitable[Any]) -> None:
    """Give an awaitable as the coroutine that the harness takes."""
    await call
