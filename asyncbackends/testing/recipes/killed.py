"""Holders that are killed: their session goes on for a while, then the next one holds."""

from collections.abc import Mapping
from typing import Any

from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.recipes.lock import Lock
from asyncbackends.testing.coordination.fixtures import Coordination, CoordinationFixtures
from asyncbackends.testing.coordination.processes import other_process, spoken
from asyncbackends.testing.harness import Harness

__all__ = ("KilledHoldersConformance",)


class KilledHoldersConformance(CoordinationFixtures):
    """A lock and another process."""

    async def test_killed_holder_blocks_nobody_beyond_its_session(
        self, coordination: Coordination, settings: Mapping[str, Any], root: str, harness: Harness
    ) -> None:
        command = other_process(settings, root, lock=root)
        async with harness.process(*command) as process, harness.deadline(30):
            theirs = await spoken(process)
            if Guarantee.SHARED_BETWEEN_PROCESSES not in coordination.guarantees:
                # Each process has a lock of its own.
                async with Lock(coordination, root):
                    return
            async with harness.background(Lock(coordination, root).acquire()) as waiting:
                await harness.sleep(0.2)
                assert len(await coordination.contenders(root)) == 2
                await process.kill()
                held = await waiting.result()
            assert [*held.fence.order] > theirs
            await held.release()
