"""The step of the demo on the coordination service: a leader is gone, and still writes."""

import asyncio
import time
from contextlib import suppress
from typing import Final

from asyncbackends.cli.demo_candidate import Candidate
from asyncbackends.cli.demo_ground import Ground
from asyncbackends.cli.demo_guest import ENTRY, Guest
from asyncbackends.cli.demo_kill import SupportsFaults
from asyncbackends.cli.demo_stage import Stage
from asyncbackends.errors import NodeNotFoundError, StaleFenceError
from asyncbackends.protocols.coordination import DistributedCoordinationService
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.values import Fence, Gap
from asyncbackends.recipes.election import Election, Term
from asyncbackends.recipes.observing import Leader

__all__ = ("show_leader",)

PATIENCE: Final = 10.0
"""Seconds until the second candidate must have come."""


async def show_leader(
    stage: Stage,
    ground: Ground,
    coordination: DistributedCoordinationService,
    guest: Guest,
) -> None:
    """Let the session of a leader die and another one take over; then the first one writes."""
    root = f"/asyncbackends-demo-{guest.run}"
    path = f"{root}/leader"
    with stage.step("A leader's session dies, and it writes too late"):
        uuid = await guest.make_entry(2)
        try:
            async with (
                ground.coordination() as client,
                Candidate(client, path, "first") as first,
            ):
                old = await first.elected()
                async with Candidate(coordination, path, "second") as second:
                    await _arrival_of_second(coordination, path)
                    leader = await Election(coordination, path).leader()
                    stage.prove(
                        f"of two candidates one leads: {_name(leader)}",
                        holds=_name(leader) == "first" and not second.is_elected,
                    )
                    if old is not None:
                        stage.count("elections", 1)
                        unfenced = _lack_of_fences(stage, client)
                        guest.fenced = unfenced is None
                        await _succession(stage, client, old, second, uuid, unfenced)
        finally:
            with suppress(NodeNotFoundError):
                await coordination.delete_node(root, recursive=True)


def _name(leader: Leader | None) -> str:
    return "nobody" if leader is None else leader.value.decode(errors="replace")


async def _arrival_of_second(coordination: DistributedCoordinationService, path: str) -> None:
    seen: set[str] = set()
    with suppress(TimeoutError):
        async with (
            asyncio.timeout(PATIENCE),
            coordination.watch(path, scope="children", initial=True) as events,
        ):
            async for event in events:
                if not isinstance(event, Gap):
                    seen.add(event.path)
                if len(seen) > 1:
                    return


async def _succession(
    stage: Stage,
    client: DistributedCoordinationService,
    old: Term,
    second: Candidate,
    uuid: str,
    unfenced: str | None,
) -> None:
    if unfenced is None:
        await _write(stage, uuid, "first", old.fence)
        stage.say(f"it writes an object, with its fence {_words(old.fence)}")
    began = time.perf_counter()
    await _end_session(stage, client)
    new = await second.elected()
    took = time.perf_counter() - began
    if new is None:
        stage.prove("the second takes over", holds=False)
        return
    stage.count("elections", 1)
    stage.prove(
        f"the second takes over after {took:.3f} s, with the higher fence {_words(new.fence)}",
        holds=Guarantee.FENCING_TOKENS not in client.guarantees or new.fence > old.fence,
    )
    if unfenced is not None:
        stage.say(f"{unfenced}: what the first one writes now cannot be stopped")
        return
    await _write(stage, uuid, "second", new.fence)
    stage.say("the second writes the same object, with its own")
    belief = "was told, too late" if old.lost.is_set() else "has not noticed"
    stage.say(f"the first one {belief}, and writes what it was about to write")
    try:
        await _write(stage, uuid, "first, late", old.fence)
        stage.prove("the late write is refused", holds=False)
    except StaleFenceError as error:
        stage.prove(f"the late write is refused: StaleFenceError: {error}", holds=True)
    now = await stage.database.object_get(ENTRY, uuid)
    stage.prove(
        f"the object is as the leader left it: {now['text']!r}", holds=now["text"] == "second"
    )


def _lack_of_fences(stage: Stage, coordination: DistributedCoordinationService) -> str | None:
    """Say why a late write would not be refused; None if it is."""
    if Guarantee.FENCING_TOKENS not in coordination.guarantees:
        return "this coordination service gives no fencing tokens"
    if stage.database.guarantees & {Guarantee.FENCED_WRITES, Guarantee.FENCED_PER_OBJECT}:
        return None
    return "this database looks at no fence"


async def _end_session(stage: Stage, client: DistributedCoordinationService) -> None:
    if isinstance(client, SupportsFaults):
        client.faults.expire_session(client.session.id)
        stage.say("its session expires: the fault switchboard makes the service forget it")
    else:
        await client.shutdown(grace=0)
        stage.say("its client goes down, and its session ends")


async def _write(stage: Stage, uuid: str, text: str, fence: Fence) -> None:
    await stage.database.object_update(ENTRY, uuid, {"text": text}, fence=fence)


def _words(fence: Fence) -> str:
    return f"({fence.epoch}, {fence.token})"
