"""Services that forget what was changed: a watch says so, and shows what is there."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from asyncbackends.errors import InvalidRequestError
from asyncbackends.protocols.values import Gap
from tests.faults.coordination_products import stream_of
from tests.faults.coordination_trials import CoordinationTrial, RunCoordinationTrial, Seen, beside
from tests.servers.etcd import Etcd
from tests.servers.nats import Nats
from tests.servers.proxy import Proxy

CHANGES = 30

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("engine", ["etcd"])
@pytest.mark.promise("coordination.lost-history-is-told")
def test_compaction(
    run_coordination_alone: RunCoordinationTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_coordination_alone(compaction))


async def compaction(trial: CoordinationTrial) -> str:
    """While a watch is on its link, while the link is down, and before a watch resumes."""
    server = trial.server
    assert isinstance(server, Etcd)

    async def compact() -> int:
        now = await trial.fleet.do(server.revision)
        await trial.fleet.do(server.ctl, "compact", str(now), "--physical")
        return now

    seen, expected = Seen(), {"/here"}
    async with (
        Proxy(server.endpoint) as proxy,
        trial.open(endpoints=proxy.endpoint) as one,
        trial.open() as two,
    ):
        first = await two.create_node("/here")
        async with beside(seen.follow(one.watch("/here", scope="tree", initial=True))):
            await seen.shows(expected)
            for number in range(CHANGES):
                await two.create_node(f"/here/{number}")
                expected.add(f"/here/{number}")
                if number % 10 == 5:
                    await compact()
            await seen.shows(expected)
            assert not seen.gaps, "a watch that follows loses nothing by it"
            proxy.refuse = True
            proxy.cut()
            for number in range(CHANGES // 2):
                await two.delete_node(f"/here/{number}")
                expected.discard(f"/here/{number}")
            await two.create_node("/here/came-and-went")
            await two.delete_node("/here/came-and-went")
            compacted = await compact()
            await two.create_node("/here/after")
            expected.add("/here/after")
            proxy.refuse = False
            await seen.shows(expected)
            assert len(seen.gaps) == 1, seen.gaps
        late = Seen()
        resuming = one.watch("/here", scope="tree", since=first.modified_revision)
        async with beside(late.follow(resuming)):
            await late.shows(expected)
            assert [(gap.reason, gap.since) for gap in late.gaps] == [
                ("compacted", first.modified_revision)
            ]
        # What is still there is told without one.
        async with one.watch("/here", scope="tree", since=compacted) as events:
            event = await asyncio.wait_for(anext(events), 5)
            assert not isinstance(event, Gap)
            assert (event.kind, event.path) == ("created", "/here/after")
        ahead = await trial.ending(begun(one.watch("/here", since=compacted + 10_000)))
        ahead.failed(InvalidRequestError)
    return (
        f"{trial.engine}: compacted under a watch: no Gap, nothing lost; while its link was down: "
        "one Gap and what was there; a watch that resumes before it: one Gap(compacted) first"
    )


@pytest.mark.parametrize("engine", ["nats"])
@pytest.mark.promise("coordination.lost-history-is-told")
def test_purge(
    run_coordination_alone: RunCoordinationTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_coordination_alone(purge))


async def purge(trial: CoordinationTrial) -> str:
    """Somebody purges the stream: all that is in it goes without a word, sessions and nodes."""
    server = trial.server
    assert isinstance(server, Nats)
    seen = Seen()
    async with trial.open() as one, trial.open() as two:
        first = await one.create_node("/here/one", b"1")
        await one.create_node("/here/mine", ephemeral=True)
        following = seen.follow(two.watch("/here", scope="tree", initial=True))
        async with beside(following):
            await seen.shows({"/here", "/here/one", "/here/mine"})
            before = one.session
            stream = stream_of(trial.namespace)
            purged = await trial.fleet.do(server.ask, f"$JS.API.STREAM.PURGE.{stream}")
            assert purged["success"]
            await seen.shows(set())
            assert len(seen.gaps) == 1, seen.gaps
            await trial.new_session(one, before)
            assert await two.get_children("/") == []
            again = await one.create_node("/here/again")
            # What is new is newer than all there was: also a fence.
            assert again.created_revision > first.created_revision
            await seen.shows({"/here", "/here/again"})
            assert len(seen.gaps) == 1, seen.gaps
        late = Seen()
        resuming = two.watch("/here", scope="tree", since=first.modified_revision)
        async with beside(late.follow(resuming)):
            await late.shows({"/here", "/here/again"})
        assert [gap.reason for gap in late.gaps] == ["compacted"]
    return (
        f"{trial.engine}: purged under a watch: one Gap and what was there, sessions LOST, later "
        "revisions are higher; a watch that resumes before it: one Gap(compacted) first"
    )


async def begun(watch: AbstractAsyncContextManager[object]) -> None:
    async with watch:
        pass
