"""Much at once, large, deep, and read by nobody: the service and the session go on."""

import asyncio
import os
import time
from collections.abc import Callable

import pytest

from asyncbackends import DistributedCoordinationService
from asyncbackends.errors import InvalidRequestError
from asyncbackends.protocols.coordination import Session, SessionState
from asyncbackends.protocols.values import Gap
from asyncbackends.recipes import Lock
from tests.faults.coordination_trials import (
    CoordinationTrial,
    RunCoordinationTrial,
    Seen,
    beside,
    each_coordination,
)

AT_ONCE = 1_000
LARGEST = 1_000_000
DEEPEST = 200
CHANGES = {"ci": 11_000, "soak": 60_000}
"""More than a watch keeps for whoever does not read."""
IN_FLIGHT = 50

pytestmark = [each_coordination, pytest.mark.timeout(600)]


@pytest.mark.promise("coordination.thousand-calls-at-once")
def test_thousand_at_once(
    run_coordination_alone: RunCoordinationTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_coordination_alone(thousand_at_once))


async def thousand_at_once(trial: CoordinationTrial) -> str:
    numbers, took, seen = range(AT_ONCE), dict[str, float](), Seen()
    async with trial.open() as one, trial.open() as two:
        await one.create_node("/many")
        async with beside(seen.follow(two.watch("/many", scope="tree", initial=True))):
            began = time.monotonic()
            await asyncio.gather(
                *(one.create_node(f"/many/{n}", str(n), ephemeral=n % 2 == 0) for n in numbers)
            )
            took["made"] = time.monotonic() - began
            assert len(await two.get_children("/many")) == AT_ONCE
            began = time.monotonic()
            found = await asyncio.gather(*(two.read_node(f"/many/{n}") for n in numbers))
            took["read"] = time.monotonic() - began
            assert found == [str(n).encode() for n in numbers]
            await seen.shows({"/many", *(f"/many/{n}" for n in numbers)})
            began = time.monotonic()
            tickets = await asyncio.gather(*(one.contend("/line", str(n)) for n in numbers))
            took["contended"] = time.monotonic() - began
            assert len({ticket.order for ticket in tickets}) == AT_ONCE
            assert [one_of.path for one_of in await two.contenders("/line")] == [
                ticket.path for ticket in sorted(tickets, key=lambda ticket: ticket.order)
            ]
            await asyncio.gather(*(one.withdraw(ticket) for ticket in tickets))
            assert await two.contenders("/line") == []
            began = time.monotonic()
            await asyncio.gather(*(two.delete_node(f"/many/{n}") for n in numbers))
            took["deleted"] = time.monotonic() - began
            await seen.shows({"/many"})
            assert not seen.gaps, seen.gaps
    told = ", ".join(f"{what} in {seconds:.2f} s" for what, seconds in took.items())
    return f"{trial.engine}: {AT_ONCE} nodes and contenders at once: {told}"


@pytest.mark.promise("coordination.large-values-and-deep-paths")
def test_large_and_deep(
    run_coordination_alone: RunCoordinationTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_coordination_alone(large_and_deep))


async def large_and_deep(trial: CoordinationTrial) -> str:
    values = {f"/large/{n}": os.urandom(LARGEST) for n in range(8)}
    seen = Seen()
    async with trial.open() as one, trial.open() as two:
        session = one.session
        await one.create_node("/large")
        async with beside(seen.follow(two.watch("/large", scope="tree", initial=True))):
            began = time.monotonic()
            await asyncio.gather(*(one.create_node(path, value) for path, value in values.items()))
            found = await asyncio.gather(*(two.read_node(path) for path in values))
            took = time.monotonic() - began
            assert found == [*values.values()]
            await seen.shows({"/large", *values})
            ending = await trial.ending(one.create_node("/large/more", bytes(LARGEST + 1)))
            ending.failed(InvalidRequestError)
        # Who comes now is shown all of it.
        late = Seen()
        async with beside(late.follow(one.watch("/large", scope="tree", initial=True))):
            await late.shows({"/large", *values})
            assert {**late.values, "/large": None} in (
                {**values, "/large": None},
                dict.fromkeys([*values, "/large"]),
            )
        await one.delete_node("/large", recursive=True)
        names = [f"level-{n}" for n in range(DEEPEST)]
        deepest = "/" + "/".join(names)
        began = time.monotonic()
        await one.create_node(deepest, b"deep")
        assert await two.read_node(deepest) == b"deep"
        for depth in range(1, DEEPEST):
            found_names = await two.get_children("/" + "/".join(names[:depth]))
            assert found_names == [names[depth]]
        held = await Lock(two, deepest).acquire(5)
        assert [ticket.path.rpartition("/")[0] for ticket in await one.contenders(deepest)] == [
            deepest
        ]
        await held.release()
        await one.delete_node("/level-0", recursive=True)
        assert await two.exists("/level-0") is None
        deep = time.monotonic() - began
        assert one.session is session
        assert session.state is SessionState.CONNECTED
    return (
        f"{trial.engine}: {len(values)} values of {LARGEST} bytes written and read in {took:.2f} s, "
        f"a path of {DEEPEST} levels made, read, locked and deleted in {deep:.2f} s"
    )


@pytest.mark.promise("coordination.slow-reader-blocks-nobody")
def test_slow_reader(
    run_coordination_alone: RunCoordinationTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_coordination_alone(slow_reader))


async def slow_reader(trial: CoordinationTrial) -> str:
    """A watch that nobody reads, beside one that is read, on one link with a short session."""
    changes, value, seen = CHANGES[trial.length], b"x" * 1024, Seen()
    slowest, suspended = [0.0], list[SessionState]()
    # How long one waits for a busy server on a busy machine, whoever reads what.
    elsewhere = [0.0]
    async with (
        trial.open(session_ttl=3.0) as one,
        trial.open() as two,
        trial.open() as other,
    ):
        session = one.session
        await two.create_node("/busy/at-first")
        async with one.watch("/busy", scope="tree", initial=True) as unread:
            looking = look_on(one, session, slowest, suspended)
            comparing = look_on(other, other.session, elsewhere, [])
            following = seen.follow(one.watch("/busy", scope="tree", initial=True))
            async with beside(following, looking, comparing):
                began = time.monotonic()
                gate = asyncio.Semaphore(IN_FLIGHT)

                async def change(number: int) -> None:
                    async with gate:
                        await two.create_node(f"/busy/{number}", value)

                await asyncio.gather(*(change(number) for number in range(changes)))
                took = time.monotonic() - began
                everything = {"/busy", "/busy/at-first", *(f"/busy/{n}" for n in range(changes))}
                await seen.shows(everything, patience=30)
            assert one.session is session
            assert session.state is SessionState.CONNECTED
            # Now it is read: with or without a Gap, it comes to what is there.
            late = Seen()
            async with asyncio.timeout(30):
                while late.values.keys() != everything:
                    late.take(await anext(unread))
        overflows = [gap for gap in late.gaps if isinstance(gap, Gap)]
        assert all(gap.reason == "overflow" for gap in overflows)
        assert not late.mistakes, late.mistakes[:5]
        assert not suspended, "the session was suspended"
    assert slowest[0] < max(1.0, 2 * elsewhere[0]), (slowest, elsewhere)
    return (
        f"{trial.engine}: {changes} changes in {took:.1f} s that one watch of two never read: the "
        f"other one saw all, no read took more than {slowest[0] * 1000:.0f} ms (on another link "
        f"{elsewhere[0] * 1000:.0f} ms), the session went on; read at last, it gave {len(overflows)} Gap and what is there"
    )


async def look_on(
    one: DistributedCoordinationService,
    session: Session,
    slowest: list[float],
    suspended: list[SessionState],
) -> None:
    """Read beside the others, and see how the session is."""
    while True:
        began = time.monotonic()
        await one.exists("/busy/at-first")
        slowest[0] = max(slowest[0], time.monotonic() - began)
        if session.state is not SessionState.CONNECTED:
            suspended += [session.state]
        await asyncio.sleep(0.02)
