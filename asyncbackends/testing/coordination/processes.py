"""The guarantees that need another process to be seen."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from asyncbackends.errors import NodeNotFoundError
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.testing.coordination.feeds import Replay, replay_until
from asyncbackends.testing.coordination.fixtures import (
    Coordination,
    CoordinationFixtures,
    OpenCoordination,
)
from asyncbackends.testing.harness import Harness, Process

__all__ = ("CoordinationProcessesConformance", "other_process", "spoken")

PROGRAM = "asyncbackends.testing.coordination.other_process"


def other_process(settings: Mapping[str, Any], root: str, **order: Any) -> list[str]:
    """Give the command line of the other process."""
    content = {"settings": {**settings, "session_ttl": 2}, "root": root, **order}
    return ["-m", PROGRAM, json.dumps(content, default=str)]


async def spoken(process: Process) -> Any:
    """Give what the other process says next."""
    line = await process.line()
    assert line, "the other process ended; its error is on stderr"
    return json.loads(line)


class CoordinationProcessesConformance(CoordinationFixtures):
    """``SHARED_BETWEEN_PROCESSES``, ``SURVIVES_PROCESS_KILL``, ``SURVIVES_POWER_LOSS``."""

    async def test_shared_between_processes(
        self,
        coordination: Coordination,
        settings: Mapping[str, Any],
        root: str,
        harness: Harness,
    ) -> None:
        shared = Guarantee.SHARED_BETWEEN_PROCESSES in coordination.guarantees
        await coordination.create_node(f"{root}/here", b"here")
        command = other_process(settings, root, writes=3)
        async with (
            coordination.watch(root, scope="children") as feed,
            harness.process(*command) as process,
            harness.deadline(30),
        ):
            assert await spoken(process) == ("here" if shared else None)
            session, order = await spoken(process)
            told = [await spoken(process) for _ in range(3)]
            if not shared:
                assert await coordination.get_children(root) == ["here"]
                return
            (ticket,) = await coordination.contenders(f"{root}/queue")
            assert (ticket.session_id, ticket.order) == (session, order)
            values = {f"{root}/{n}": str(n).encode() for n in range(3)}
            stats = [await coordination.exists(path) for path in values]
            assert [stat and stat.created_revision for stat in stats] == told
            values |= {f"{root}/{name}": b"" for name in ("ephemeral", "queue")}
            replay = Replay()
            await replay_until(harness, feed, replay, values)
            later = await coordination.contend(f"{root}/queue")
            assert later.order > order
            # The other one is gone without a word; its session goes on for a while.
            await process.kill()
            del values[f"{root}/ephemeral"]
            await replay_until(harness, feed, replay, values)
            assert await coordination.contenders(f"{root}/queue") == [later]

    async def test_survives_process_kill(
        self,
        open_coordination: OpenCoordination,
        settings: Mapping[str, Any],
        root: str,
        harness: Harness,
    ) -> None:
        command = other_process(settings, root, writes=2000)
        async with harness.process(*command) as process, harness.deadline(30):
            assert await spoken(process) is None
            await spoken(process)
            told = [await spoken(process) for _ in range(20)]
            await process.kill()
        async with open_coordination() as coordination:
            if Guarantee.SURVIVES_PROCESS_KILL not in coordination.guarantees:
                with pytest.raises(NodeNotFoundError):
                    await coordination.get_children(root)
                return
            for number, revision in enumerate(told):
                node = await coordination.get_node(f"{root}/{number}")
                assert node.value == str(number).encode()
                assert node.stat.created_revision == revision
            numbers = [
                int(name) for name in await coordination.get_children(root) if name.isdigit()
            ]
            assert sorted(numbers) == [*range(len(numbers))]

    async def test_survives_power_loss(self, coordination: Coordination, root: str) -> None:
        """No test can cut the power; what survives that survives less, and is no memory's."""
        if Guarantee.SURVIVES_POWER_LOSS in coordination.guarantees:
            assert Guarantee.SURVIVES_PROCESS_KILL in coordination.guarantees
        if Guarantee.SURVIVES_PROCESS_KILL in coordination.guarantees:
            assert Guarantee.ATOMIC_TRANSACTIONS in coordination.guarantees
        assert await coordination.create_node(root)
