"""That whoever was cancelled leaves nothing: what tests that cancel at every await have in common."""

from collections.abc import Awaitable, Coroutine
from datetime import timedelta
from typing import Any, Final

from asyncbackends.testing.coordination.fixtures import Coordination
from asyncbackends.testing.harness import Cancelling, Harness

__all__ = ("CleanEnds", "is_empty")

KEPT: Final = timedelta(seconds=1)
"""For how long a cancelled call may wait for its clean-up; what is not done then goes on behind it."""


async def is_empty(client: Coordination, path: str) -> bool:
    """Say whether nobody contends and nothing is left below a path."""
    if await client.contenders(path):
        return False
    return await client.exists(path) is None or await client.get_children(path) == []


class CleanEnds:
    """Sees that nothing is left of calls that end: no entry on a path, no node below, no task.

    At once, for nobody should need to wait; only after a call that a busy service kept waiting for
    longer than it had to, in the end.
    """

    def __init__(self, harness: Harness, client: Coordination, path: str) -> None:
        """Begin, before there is anything to leave.

        :param client: looks; another one than the cancelled call's.
        """
        self._harness = harness
        self._client = client
        self._path = path
        self._before = harness.running()

    async def cancel_at(
        self, call: Coroutine[Any, Any, object], suspension: int, how: Cancelling = "task"
    ) -> bool:
        """Cancel a call when it is suspended for the n-th time; True if it ended before that."""
        return await self.after(self._harness.cancel_at(call, suspension, how))

    async def after(self, ending: Awaitable[bool]) -> bool:
        """See that nothing is left after what was cancelled somewhere in ``ending``; give its result."""
        began = self._harness.now()
        completed = await ending
        was_kept = self._harness.now() - began > KEPT
        if not await self._is_clean() and was_kept:
            await self._harness.eventually(self._is_clean)
        assert await self._client.contenders(self._path) == []
        assert await is_empty(self._client, self._path)
        assert self._harness.running() == self._before
        return completed

    async def _is_clean(self) -> bool:
        return await is_empty(self._client, self._path) and self._harness.running() == self._before
