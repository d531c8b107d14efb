"""The recipe Election and master_election, on the memory engine and a clock turned by hand."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from asyncbackends.errors import (
    ConnectionLostError,
    InvalidRequestError,
    LeadershipLostError,
    NodeNotFoundError,
)
from asyncbackends.protocols.coordination import DistributedCoordinationService
from asyncbackends.recipes import Election, Leader, Term, master_election
from asyncbackends.testing.harness import AsyncioHarness, Cancelling
from tests.unit.coordinating import TTL, Tree, contended, settled, until

PATH = "/leader"


@pytest.fixture
async def tree() -> AsyncGenerator[Tree]:
    async with Tree() as tree:
        yield tree


@pytest.fixture
async def client(tree: Tree) -> DistributedCoordinationService:
    return await tree.client()


@pytest.fixture
async def other(tree: Tree) -> DistributedCoordinationService:
    return await tree.client()


async def seen(leaders: AsyncIterator[Leader | None]) -> Leader | None:
    async with asyncio.timeout(5):
        return await anext(leaders)


async def value_seen(leaders: AsyncIterator[Leader | None]) -> bytes | None:
    leader = await seen(leaders)
    return None if leader is None else leader.value


async def test_term_is_seen_by_everybody(
    client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    election = Election(client, PATH, "host-1")
    assert await election.leader() is None
    async with election.lead() as term:
        assert not term.resigned
        assert term.session is client.session
        assert term.fence == term.ticket.fence
        assert 0 < term.remaining() <= TTL - 1
        leader = await Election(other, PATH).leader()
        assert leader == Leader(b"host-1", term.ticket.order, term.ticket.path)
    assert await election.leader() is None


async def test_candidates_lead_in_order_with_growing_fences(
    client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    led: list[tuple[int, int]] = []

    async def candidate(number: int) -> None:
        async with Election((client, other)[number % 2], PATH).lead() as term:
            led.append((number, term.fence.token))

    async with asyncio.TaskGroup() as group, Election(client, PATH).lead():
        for number in range(8):
            group.create_task(candidate(number))
            await contended(client, PATH, number + 2)
        assert led == []
    assert [number for number, _ in led] == list(range(8))
    assert [token for _, token in led] == sorted({token for _, token in led})


async def test_lost_term_cancels_the_body(
    tree: Tree, client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    terms: list[Term] = []
    ended = False

    async def lead() -> None:
        nonlocal ended
        async with Election(client, PATH).lead() as term:
            terms.append(term)
            try:
                await asyncio.Event().wait()
            finally:
                ended = True

    leader = asyncio.create_task(lead())
    await until(lambda: bool(terms))
    tree.faults.freeze_renewals()
    await tree.clock.advance(client.session.remaining() + 0.01)
    assert ended
    with pytest.raises(LeadershipLostError, match=PATH):
        await leader
    assert terms[0].lost.is_set()
    assert not terms[0].resigned
    with pytest.raises(LeadershipLostError):
        await terms[0].proclaim("still me")
    tree.faults.thaw_renewals()
    for _ in range(30):
        await tree.clock.advance(1)
    async with asyncio.timeout(5), Election(other, PATH).lead() as term:
        assert term.fence > terms[0].fence


async def test_resigned_leader_goes_on_without_a_term(
    tree: Tree, client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    async with Election(client, PATH).lead() as term:
        await term.resign()
        assert term.resigned
        assert term.remaining() == 0.0
        await term.resign()
        async with asyncio.timeout(5), Election(other, PATH).lead():
            pass
        with pytest.raises(InvalidRequestError, match="resigned"):
            await term.proclaim("me")
        await tree.lose_session(client)
        await settled()


async def test_observer_sees_leaders_values_and_their_end(
    client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    async with Election(other, PATH).observe() as leaders:
        assert await seen(leaders) is None
        async with Election(client, PATH, "one").lead() as term:
            assert await seen(leaders) == Leader(b"one", term.ticket.order, term.ticket.path)
            await term.proclaim("two")
            assert await value_seen(leaders) == b"two"
            next_one = await client.contend(PATH, "three")
            await other.update_node(next_one.path, "not yet")
            assert await AsyncioHarness().quiet(leaders, 0.05)
    async with Election(other, PATH).observe() as leaders:
        assert await value_seen(leaders) == b"not yet"
        await client.withdraw(next_one)
        assert await seen(leaders) is None


async def test_observer_sees_the_last_of_several_changes_once(
    client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    async with Election(other, PATH).observe() as leaders:
        async with Election(client, PATH, "0").lead() as term:
            assert await value_seen(leaders) == b"0"
            for number in range(1, 10):
                await term.proclaim(str(number))
            values = [await value_seen(leaders)]
            while values[-1] != b"9":
                values.append(await value_seen(leaders))
            assert len(values) == len(set(values))
        assert await seen(leaders) is None


class Overtaken:
    """A client whose leader proclaims right after it was read."""

    def __init__(self, client: DistributedCoordinationService) -> None:
        self._client = client
        self.after_read: Any = None

    def watch(self, *args: Any, **kwargs: Any) -> AbstractAsyncContextManager[Any]:
        return self._client.watch(*args, **kwargs)

    async def contenders(self, path: str) -> Any:
        return await self._client.contenders(path)

    async def read_node(self, path: str) -> Any:
        value = await self._client.read_node(path)
        if self.after_read is not None:
            call, self.after_read = self.after_read, None
            await call()
        return value


async def test_value_that_is_folded_into_the_coming_is_seen(
    client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    overtaken: Any = Overtaken(other)
    async with (
        Election(overtaken, PATH).observe() as leaders,
        # Neither the coming nor the proclamation is fetched before the first look.
        Election(client, PATH, "one").lead() as term,
    ):

        async def proclaim() -> None:
            await term.proclaim("two")

        overtaken.after_read = proclaim
        values = [await value_seen(leaders)]
        if values != [b"two"]:
            values.append(await value_seen(leaders))
        assert values[-1] == b"two"


async def test_observer_lives_through_gaps_and_failures(
    tree: Tree, client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    async with Election(other, PATH).observe() as leaders:
        assert await seen(leaders) is None
        tree.faults.drop_events(100)
        tree.faults.fail_next(ConnectionLostError("gone"), "contenders", times=3)
        ticket = await _contend(client)
        await tree.clock.advance(TTL / 3)
        leader = await seen(leaders)
        assert leader is not None
        assert leader.path == ticket
        await tree.lose_session(client)
        assert await seen(leaders) is None


async def _contend(client: DistributedCoordinationService) -> str:
    while True:
        try:
            return (await client.contend(PATH, "x")).path
        except ConnectionLostError:
            continue


async def test_cancelled_look_of_an_observer_is_done_again(
    tree: Tree, client: DistributedCoordinationService, other: DistributedCoordinationService
) -> None:
    harness = AsyncioHarness()
    async with Election(other, PATH).observe() as leaders:
        assert await seen(leaders) is None
        for suspension in range(1, 50):
            ticket = await client.contend(PATH, "x")
            found: list[Leader | None] = []

            async def look(found: list[Leader | None] = found) -> None:
                found.append(await anext(leaders))

            completed = await harness.cancel_at(look(), suspension)
            leader = found[0] if found else await seen(leaders)
            assert leader is not None
            assert leader.path == ticket.path
            await client.withdraw(ticket)
            assert await seen(leaders) is None
            if completed:
                break
        else:
            pytest.fail("it never came to its end")


async def test_lead_gives_one_term(client: DistributedCoordinationService) -> None:
    block = Election(client, PATH).lead()
    async with block:
        pass
    with pytest.raises(InvalidRequestError, match="one term"):
        await block.__aenter__()


async def test_term_whose_node_was_removed_proclaims_nothing(
    client: DistributedCoordinationService,
) -> None:
    async with Election(client, PATH).lead() as term:
        await client.delete_node(term.ticket.path)
        with pytest.raises(LeadershipLostError) as refusal:
            await term.proclaim("me")
        assert isinstance(refusal.value.__cause__, NodeNotFoundError)


async def test_master_election_gives_the_result(client: DistributedCoordinationService) -> None:
    async def work(number: int, *, times: int) -> int:
        leader = await Election(client, PATH).leader()
        assert leader is not None
        assert leader.value == b"host-1"
        return number * times

    assert await master_election(client, PATH, "host-1", work, 3, times=4) == 12
    assert await client.master_election(PATH, "host-1", work, 3, times=5) == 15
    assert await client.contenders(PATH) == []


async def test_master_election_raises_what_the_function_raises(
    client: DistributedCoordinationService,
) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await client.master_election(PATH, "host-1", fail)
    assert await client.contenders(PATH) == []


@pytest.mark.parametrize("notices", [True, False])
async def test_master_election_ends_with_the_term(
    tree: Tree, client: DistributedCoordinationService, notices: bool
) -> None:
    async def work() -> str:
        await tree.lose_session(client)
        if notices:
            await asyncio.Event().wait()
        return "done"

    with pytest.raises(LeadershipLostError):
        await client.master_election(PATH, "host-1", work)


@pytest.mark.parametrize("how", ["task", "late", "scope"])
async def test_cancelled_at_any_await_nobody_leads(
    client: DistributedCoordinationService, how: Cancelling
) -> None:
    harness = AsyncioHarness()

    async def lead() -> None:
        async with Election(client, PATH).lead() as term:
            await term.proclaim("me")
            await term.resign()

    for suspension in range(1, 200):
        completed = await harness.cancel_at(lead(), suspension, how)
        assert await client.contenders(PATH) == []
        if completed:
            break
    else:
        pytest.fail("it never came to its end")
    assert suspension > 4
