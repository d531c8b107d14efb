"""The core of coordination over a wire, where two things come in one turn of the loop."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends import open_coordination
from asyncbackends.coordination.pending import MAX_PENDING
from asyncbackends.coordination.transaction import Create
from asyncbackends.coordination.wire import Followed
from asyncbackends.errors import ConnectionFailedError, ConnectionLostError
from asyncbackends.protocols.backend import ConnectionState
from asyncbackends.protocols.coordination import SessionState
from asyncbackends.protocols.nodes import NodeEvent
from asyncbackends.protocols.values import Gap
from asyncbackends.testing.harness import AsyncioHarness
from asyncbackends_memory.tree.editing import Edit
from tests.unit.tree_wire import TreeFeed, TreeLink, server_of


@pytest.fixture
def settings() -> dict[str, Any]:
    return {
        "engine": "tests.unit.tree_wire:engine",
        "endpoints": f"tree-{uuid4().hex}",
        "reconnect_max": 0.05,
    }


@pytest.mark.parametrize("initial", [False, True])
async def test_watch_goes_on_whose_link_is_lost_right_after_it_began(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, initial: bool
) -> None:
    """The loss is told before the one who asked has its answer: it needs a turn more for that."""
    begin, begun = TreeFeed.begin, list[bool]()

    async def begin_and_lose(feed: TreeFeed, since: int | None, *, present: bool) -> Followed:
        followed = await begin(feed, since, present=present)
        if not begun:
            begun.append(True)
            feed.link.cut()
        return followed

    monkeypatch.setattr(TreeFeed, "begin", begin_and_lose)
    async with open_coordination(**settings) as one, asyncio.timeout(5):
        await one.create_node("/here", b"1")
        async with one.watch("/here", initial=initial) as events:
            await one.update_node("/here", b"2")
            found: list[bytes | None] = []
            while b"2" not in found:
                event = await anext(events)
                if isinstance(event, NodeEvent):
                    found.append(event.value)


async def test_contender_that_gives_up_in_an_outage_costs_no_session(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its request may have been applied; whatever else stands on the session is still held."""
    server = server_of(settings["endpoints"])
    soon: dict[str, Any] = {"operation_timeout": 0.2, "session_ttl": 5}
    async with open_coordination(**settings, **soon) as one, open_coordination(**settings) as two:
        session = one.session
        held = await one.contend("/held")
        apply = TreeLink.apply

        async def apply_and_go_down(link: TreeLink, *arguments: Any) -> Any:
            monkeypatch.setattr(TreeLink, "apply", apply)
            stats = await apply(link, *arguments)
            server.drop_connection()
            raise ConnectionLostError("it was cut", maybe_applied=True) if stats else AssertionError

        monkeypatch.setattr(TreeLink, "apply", apply_and_go_down)
        with pytest.raises(ConnectionLostError) as failed:
            await one.contend("/line")
        assert not failed.value.maybe_applied
        assert server.tree.children["/line"], "it was made, and nobody could find out"
        server.restore_connection()

        async def nobody() -> bool:
            return not await two.contenders("/line")

        assert await AsyncioHarness(3).eventually(nobody)
        await one.create_node("/renewed", ephemeral=True)
        assert one.session is session
        assert session.state is SessionState.CONNECTED
        assert await two.contenders("/held") == [held]


async def test_late_doubt_about_a_contender_does_not_cost_the_next_session(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session is over, and another one is there, before anybody gives its request up."""
    server = server_of(settings["endpoints"])
    async with open_coordination(**settings, operation_timeout=0.8) as one:
        first = one.session
        arrive = TreeLink.arrive

        async def silent(link: TreeLink, *arguments: Any) -> Any:
            monkeypatch.setattr(TreeLink, "arrive", arrive)
            server.expire_session(first.id)
            await asyncio.sleep(60)

        monkeypatch.setattr(TreeLink, "arrive", silent)
        contending = asyncio.create_task(one.contend("/line"))
        async with asyncio.timeout(5):
            while one.session is first:
                await one.create_node(f"/wake/{uuid4().hex}", ephemeral=True)
            second = one.session
            assert not contending.done()
            await asyncio.wait({contending})
        assert isinstance(contending.exception(), ConnectionLostError)
        await asyncio.sleep(0.1)
        assert one.session is second
        assert second.state is SessionState.CONNECTED


async def test_contender_that_is_cancelled_before_anything_was_sent_waits_for_nothing(
    settings: dict[str, Any],
) -> None:
    server = server_of(settings["endpoints"])
    async with open_coordination(**settings) as one:
        server.drop_connection()
        contending = asyncio.create_task(one.contend("/line"))
        await asyncio.sleep(0.05)
        began = asyncio.get_running_loop().time()
        contending.cancel()
        await asyncio.wait({contending})
        assert contending.cancelled()
        assert asyncio.get_running_loop().time() - began < 0.3
        server.restore_connection()
        await one.create_node("/there", ephemeral=True)
        assert await one.contenders("/line") == []


async def test_entry_that_cannot_be_taken_back_for_now_is_asked_for_with_pauses(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without a leader refuses each call at once, in doubt, and its link stays up."""
    server = server_of(settings["endpoints"])
    async with open_coordination(**settings) as one:
        asked: list[None] = []
        apply = TreeLink.apply

        async def without_leader(link: TreeLink, operations: Any, session_id: Any) -> Any:
            if isinstance(operations[0], Create):
                stats = await apply(link, operations, session_id)
                contending.cancel()
                return stats
            asked.append(None)
            await asyncio.sleep(0)
            raise ConnectionLostError("there is no leader", maybe_applied=True)

        monkeypatch.setattr(TreeLink, "apply", without_leader)
        contending = asyncio.create_task(one.contend("/line"))
        await asyncio.wait({contending})
        assert contending.cancelled()
        assert server.tree.children["/line"]
        assert 3 <= len(asked) <= 30, "for the second that it waits for its entry to be gone"
        monkeypatch.setattr(TreeLink, "apply", apply)

        async def nobody() -> bool:
            return not await one.contenders("/line")

        assert await AsyncioHarness(3).eventually(nobody)


@pytest.mark.parametrize("times", [2, 1000])
async def test_watch_waits_out_what_passes_when_it_is_begun_again(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """A server that has just started refuses some calls; its link is none the worse for it."""
    server = server_of(settings["endpoints"])
    async with open_coordination(**settings, operation_timeout=0.5) as one, asyncio.timeout(5):
        await one.create_node("/here", b"1")
        async with one.watch("/here") as events:
            begin, close = TreeFeed.begin, TreeFeed.close
            refused, closed = list[TreeFeed](), list[TreeFeed]()

            def close_and_tell(feed: TreeFeed) -> None:
                closed.append(feed)
                close(feed)

            monkeypatch.setattr(TreeFeed, "close", close_and_tell)

            async def starting(feed: TreeFeed, since: int | None, *, present: bool) -> Followed:
                if len(refused) < times:
                    refused.append(feed)
                    raise ConnectionFailedError("JetStream is not there yet")
                return await begin(feed, since, present=present)

            monkeypatch.setattr(TreeFeed, "begin", starting)
            server.cut()
            if times > 2:
                with pytest.raises(ConnectionFailedError):
                    await anext(events)
                assert one.state is ConnectionState.CONNECTED
                assert 3 < len(refused) < 15
                assert set(refused) <= set(closed)
            else:
                assert isinstance(await anext(events), Gap)
                event = await anext(events)
                assert isinstance(event, NodeEvent)
                assert event.value == b"1"


async def test_watch_that_overflowed_lists_nothing_until_it_is_read(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changes goes on changing, and a list for nobody would be of no use to it."""
    begin, begun = TreeFeed.begin, list[TreeFeed]()

    async def counted(feed: TreeFeed, since: int | None, *, present: bool) -> Followed:
        begun.append(feed)
        return await begin(feed, since, present=present)

    monkeypatch.setattr(TreeFeed, "begin", counted)
    async with open_coordination(**settings) as one, asyncio.timeout(30):
        tree = server_of(settings["endpoints"]).tree
        async with one.watch("/", scope="children") as events:
            for number in range(2 * MAX_PENDING):
                edit = Edit(tree)
                edit.apply(Create(f"/{number}", b""), None)
                edit.commit()
            await asyncio.sleep(0.1)
            assert len(begun) == 1
            gap = await anext(events)
            assert isinstance(gap, Gap)
            assert gap.reason == "overflow"
            assert len(begun) == 2
            given = [await anext(events) for _ in range(2 * MAX_PENDING)]
            paths = {event.path for event in given if isinstance(event, NodeEvent)}
            assert paths == {f"/{number}" for number in range(2 * MAX_PENDING)}


@pytest.mark.parametrize("tells", [True, False])
async def test_long_list_of_what_is_there_costs_no_link_while_more_of_it_comes(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tells: bool
) -> None:
    """The time of one call bounds what a server does not answer, not how much is there."""
    server = server_of(settings["endpoints"])
    async with open_coordination(**settings, operation_timeout=0.3) as one, asyncio.timeout(5):
        await one.create_node("/here", b"1")
        async with one.watch("/here") as events:
            begin, begun = TreeFeed.begin, list[TreeFeed]()

            async def long(feed: TreeFeed, since: int | None, *, present: bool) -> Followed:
                begun.append(feed)
                if len(begun) == 1:
                    for _ in range(8):
                        await asyncio.sleep(0.1)
                        if tells:
                            feed.sink.progress()
                return await begin(feed, since, present=present)

            monkeypatch.setattr(TreeFeed, "begin", long)
            server.events_to_lose = 1
            (link,) = server.links
            await one.update_node("/here", b"2")
            assert isinstance(await anext(events), Gap)
            event = await anext(events)
            assert isinstance(event, NodeEvent)
            assert event.value == b"2"
            assert len(begun) == (1 if tells else 2)
            assert (link in server.links) is tells


async def test_watch_that_is_left_while_it_is_begun_again_leaves_nothing(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_of(settings["endpoints"])
    async with open_coordination(**settings) as one, asyncio.timeout(5):
        await one.create_node("/here", b"1")
        begin, close, open_feeds = TreeFeed.begin, TreeFeed.close, set[TreeFeed]()
        beginning, going_on = asyncio.Event(), asyncio.Event()

        async def slow(feed: TreeFeed, since: int | None, *, present: bool) -> Followed:
            open_feeds.add(feed)
            beginning.set()
            await going_on.wait()
            return await begin(feed, since, present=present)

        def closed(feed: TreeFeed) -> None:
            open_feeds.discard(feed)
            close(feed)

        for waits in (False, True):
            async with one.watch("/here") as events:
                monkeypatch.setattr(TreeFeed, "begin", slow)
                monkeypatch.setattr(TreeFeed, "close", closed)
                server.events_to_lose = 1
                await one.update_node("/here", b"2")
                reading = asyncio.ensure_future(anext(events))
                # Once the task that begins it has run, and once before.
                await (beginning.wait() if waits else asyncio.sleep(0))
            reading.cancel()
            await asyncio.wait({reading})
            going_on.set()
            await asyncio.sleep(0.01)
            assert not open_feeds
            monkeypatch.undo()
            beginning.clear()
            going_on.clear()
        assert await one.read_node("/here") == b"2"
