"""Several servers of a kind that elect a leader among them."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from tests.servers.server import CommandFailedError, Server

__all__ = ("Ensemble",)

MemberT = TypeVar("MemberT", bound=Server)
FoundT = TypeVar("FoundT")
POLL = 0.05


class Ensemble(Generic[MemberT]):
    """``with`` starts them, and ends them and removes their data.

    ``members["one"].kill()`` and all else that a server has.
    """

    def __init__(self, members: Mapping[str, MemberT]) -> None:
        self.members = dict(members)

    @property
    def endpoints(self) -> str:
        """Where they serve, split by commas."""
        return ",".join(member.endpoint for member in self.members.values())

    def settings(self, **others: Any) -> dict[str, Any]:
        """Give the arguments of ``open_coordination``."""
        first = next(iter(self.members.values()))
        return first.settings(**{"endpoints": self.endpoints, **others})

    def start(self, *, patience: float = 60) -> None:
        """Start those that do not run; returns when all serve."""
        for member in self.members.values():
            if not member.is_running:
                member.start()
        self._until(lambda: all(each.serves() for each in self.members.values()), patience)

    def _until(self, ask: Callable[[], FoundT | None], patience: float) -> FoundT:
        deadline = time.monotonic() + patience
        while not (found := ask()):
            if time.monotonic() > deadline:
                logs = ", ".join(str(member.process.log) for member in self.members.values())
                raise CommandFailedError(f"there is no leader; their logs: {logs}")
            time.sleep(POLL)
        return found

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def remove(self) -> None:
        """End them and remove their data."""
        with ExitStack() as stack:
            for member in self.members.values():
                stack.callback(member.remove)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()
