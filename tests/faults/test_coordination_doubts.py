"""Requests and replies that are lost on the way: done or not is found out, and nothing stays."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from asyncbackends import DistributedCoordinationService
from asyncbackends.errors import ConnectionLostError, NodeNotFoundError
from asyncbackends.protocols.coordination import SessionState
from asyncbackends.protocols.nodes import Ticket
from tests.faults.coordination_trials import (
    CoordinationTrial,
    RunCoordinationTrial,
    each_coordination,
)
from tests.servers.proxy import Proxy

ROUNDS = {"ci": 48, "soak": 480}
SLOWNESS = 0.002
"""Seconds that bytes take in each direction, so that there is a time in which they are on their way."""
ARRIVAL = 0.5
SEED = 20_260
RACES = {"ci": 60, "soak": 600}

pytestmark = [each_coordination, pytest.mark.timeout(600)]


class Writes:
    """One write of every kind, and whether it was applied, as another client sees it."""

    def __init__(
        self, one: DistributedCoordinationService, two: DistributedCoordinationService
    ) -> None:
        self.one = one
        self.two = two

    async def prepare(self, number: int) -> str:
        path = f"/doubts/{number}"
        await self.two.create_node(f"{path}/old", b"old")
        await self.two.create_node(f"{path}/going")
        return path

    def kinds(self) -> dict[str, Callable[[str], Coroutine[Any, Any, object]]]:
        return {
            "create": lambda path: self.one.create_node(f"{path}/new", b"new"),
            "ephemeral": lambda path: self.one.create_node(f"{path}/new", b"new", ephemeral=True),
            "update": lambda path: self.one.update_node(f"{path}/old", b"new"),
            "delete": lambda path: self.one.delete_node(f"{path}/going"),
            "transaction": self.transaction,
        }

    async def transaction(self, path: str) -> None:
        both = self.one.transaction()
        both.create(f"{path}/new", b"new")
        both.update(f"{path}/old", b"new")
        both.delete(f"{path}/going")
        await both.commit()

    async def read(self, path: str) -> tuple[bool, bool, bool]:
        made = await self.two.exists(f"{path}/new") is not None
        changed = await self.two.read_node(f"{path}/old") == b"new"
        gone = await self.two.exists(f"{path}/going") is None
        return made, changed, gone

    async def applied(self, kind: str, path: str) -> bool:
        """Say whether it was; a transaction is whole or not at all."""
        # It may be on its way: what is read first is older.
        before = None
        while before != (now := await self.read(path)):
            before = now
        made, changed, gone = now
        match kind:
            case "create" | "ephemeral":
                assert (changed, gone) == (False, False)
                return made
            case "update":
                assert (made, gone) == (False, False)
                return changed
            case "delete":
                assert (made, changed) == (False, False)
                return gone
            case _:
                assert len({made, changed, gone}) == 1, "a part of a transaction"
                return made


@pytest.mark.promise("coordination.lost-replies-are-found-out")
def test_replies_are_lost(
    run_coordination_trial: RunCoordinationTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_coordination_trial(replies_are_lost))


async def replies_are_lost(trial: CoordinationTrial) -> str:
    """Whatever is told about a write is true, and contenders know their entry."""
    rounds, dice = ROUNDS[trial.length], random.Random(SEED)
    counts: Counter[str] = Counter()
    async with (
        Proxy(trial.server.endpoint) as proxy,
        trial.open(endpoints=proxy.endpoint) as one,
        trial.open() as two,
    ):
        session = one.session
        writes = Writes(one, two)
        kinds = writes.kinds()
        proxy.delay = SLOWNESS
        for number in range(rounds):
            kind = [*kinds, "contend"][number % (len(kinds) + 1)]
            path = await writes.prepare(number)
            await trial.session_is(session, SessionState.CONNECTED)
            # The reply, or the request itself, or whichever is on its way just then.
            how = dice.choice(["reply", "request", "either", "either"])
            if how == "reply":
                proxy.drop_replies()
            elif how == "request":
                proxy.freeze()
            calling = one.contend if kind == "contend" else kinds[kind]
            call: asyncio.Task[Any] = asyncio.create_task(calling(path))
            came = False
            if how == "either":
                await asyncio.sleep(dice.random() * 8 * SLOWNESS)
            elif how == "request":
                await asyncio.sleep(0.05)
            else:
                # An engine that reads before it writes has not written then.
                came = await arrived(writes, kind, path)
            proxy.cut()
            proxy.pass_replies()
            proxy.thaw()
            await asyncio.wait({call}, timeout=12)
            assert call.done(), f"{kind} does not end"
            if kind == "contend":
                ticket: Ticket = call.result()
                assert [one_of.path for one_of in await two.contenders(path)] == [ticket.path]
                await one.withdraw(ticket)
                assert await two.contenders(path) == []
                counts["found out"] += 1
                continue
            error = call.exception()
            if error is not None and not isinstance(error, ConnectionLostError):
                raise error
            done = await writes.applied(kind, path)
            if error is None:
                assert done, f"{kind} was told as done and is not"
                counts["done"] += 1
            elif not error.maybe_applied:
                assert not done, f"{kind} was told as not applied and is"
                counts["told as not applied"] += 1
            else:
                counts["in doubt and applied" if done else "in doubt and not applied"] += 1
            assert done or not came, "what was there is not there any more"
        assert one.session is session
    told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    return f"{trial.engine}: {rounds} requests or replies lost (seed {SEED}): {told}; 0 orphans"


async def arrived(writes: Writes, kind: str, path: str) -> bool:
    """Say whether a write reaches the server soon."""
    end = time.monotonic() + ARRIVAL
    there = False
    while not there and time.monotonic() < end:
        await asyncio.sleep(0.005)
        if kind == "contend":
            there = bool(await writes.two.contenders(path))
        else:
            there = await writes.applied(kind, path)
    return there


async def withdrawn(one: DistributedCoordinationService, ticket: Ticket) -> None:
    """Withdraw, also over a link of which nobody has noticed yet that it was cut."""
    while True:
        try:
            await one.withdraw(ticket)
        except ConnectionLostError as error:
            if not error.maybe_applied:
                raise
        else:
            return


@pytest.mark.promise("coordination.lost-replies-are-found-out")
def test_contenders_in_doubt_are_cancelled(
    run_coordination_trial: RunCoordinationTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_coordination_trial(contenders_in_doubt))


async def contenders_in_doubt(trial: CoordinationTrial) -> str:
    """The link is cut in the middle of contending, and who contends is cancelled soon after."""
    races, dice = RACES[trial.length], random.Random(SEED)
    counts: Counter[str] = Counter()
    async with (
        Proxy(trial.server.endpoint) as proxy,
        trial.open(endpoints=proxy.endpoint) as one,
        trial.open() as two,
    ):
        session = one.session
        for number in range(races):
            await trial.session_is(session, SessionState.CONNECTED)
            calls = [asyncio.create_task(one.contend(f"/races/{number % 5}")) for _ in range(3)]
            await asyncio.sleep(dice.random() * 0.004)
            if dice.random() < 0.5:
                proxy.drop_replies()
                await asyncio.sleep(dice.random() * 0.004)
            proxy.cut()
            proxy.pass_replies()
            await asyncio.sleep(dice.choice([0, 0.002, 0.05]))
            for call in calls[:2]:
                call.cancel()
            _, pending = await asyncio.wait(calls, timeout=12)
            assert not pending, "a contender neither ends nor is cancelled"
            for call in calls:
                if call.cancelled():
                    counts["cancelled"] += 1
                else:
                    await withdrawn(one, call.result())
                    counts["made"] += 1

            async def nobody(path: str = f"/races/{number % 5}") -> bool:
                try:
                    return not await two.get_children(path)
                except NodeNotFoundError:
                    return True

            await trial.settled(nobody, "an entry is left that nobody knows of", patience=12)
        assert one.session is session
    told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    return f"{trial.engine}: {races} links cut under 3 contenders (seed {SEED}): {told}; 0 orphans"
