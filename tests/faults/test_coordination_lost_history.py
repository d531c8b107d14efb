"""Services that forget what was changed: a watch says so, and shows what is there."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from asyncbackends.errors import InvalidRequestError
from asyncbackends.protocols.values import Gap
from tests.faults.coordination_trials import CoordinationTrial, RunCoordinationTrial, Seen, beside
from tests.servers.etcd import Etcd
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


async def begun(watch: AbstractAsyncContextManager[object]) -> None:
    async with watch:
        pass
