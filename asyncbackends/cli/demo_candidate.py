"""A candidate of the demo's election."""

import asyncio
from types import TracebackType
from typing import Final, Self

from asyncbackends.errors import BackendError
from asyncbackends.protocols.coordination import DistributedCoordinationService
from asyncbackends.recipes.election import Election, Term

__all__ = ("Candidate",)

PATIENCE: Final = 10.0
"""Seconds until it must have been elected."""


class Candidate:
    """Runs for leader in a task of its own, from entering the block to its end."""

    def __init__(self, coordination: DistributedCoordinationService, path: str, name: str) -> None:
        self._election = Election(coordination, path, name)
        self._elected: asyncio.Future[Term] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._lead())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _lead(self) -> None:
        try:
            async with self._election.lead() as term:
                self._elected.set_result(term)
                await asyncio.Event().wait()
        except BackendError as error:
            # Afterwards it is the loss of the term, which belongs to the story.
            if not self._elected.done():
                self._elected.set_exception(error)

    @property
    def is_elected(self) -> bool:
        """Whether it was elected, ever."""
        return self._elected.done() and self._elected.exception() is None

    async def elected(self) -> Term | None:
        """Wait until it is elected; None if it is not in time.

        :raises BackendError: it could not run.
        """
        await asyncio.wait({self._elected}, timeout=PATIENCE)
        return self._elected.result() if self._elected.done() else None
