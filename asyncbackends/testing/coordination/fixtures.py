"""The fixtures that every class of the kit builds on."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias
from uuid import uuid4

import pytest
import pytest_asyncio

from asyncbackends.opening import open_coordination as opener_of
from asyncbackends.protocols.coordination import DistributedCoordinationService
from asyncbackends.testing.harness import AsyncioHarness, Harness

__all__ = (
    "Coordination",
    "CoordinationFixtures",
    "FaultFixtures",
    "MakeCoordination",
    "OpenCoordination",
    "SessionFaults",
    "new_root",
)

Coordination: TypeAlias = DistributedCoordinationService

OpenCoordination = Callable[..., AbstractAsyncContextManager[Coordination]]
"""Takes options over those of ``settings``."""

MakeCoordination = Callable[..., Coordination]
"""The same, and gives the service unconnected."""


class SessionFaults(Protocol):
    """Faults of an engine on demand; they are for every client of the service."""

    def expire_session(self, session_id: str) -> None:
        """Let the service forget a session, with its ephemeral nodes."""
        ...

    def freeze_renewals(self) -> None:
        """Let renewals have no answer, until :meth:`thaw_renewals`; the service expires sessions."""
        ...

    def thaw_renewals(self) -> None:
        """Let renewals be answered again."""
        ...

    def drop_connection(self) -> None:
        """Cut every link, until :meth:`restore_connection`."""
        ...

    def restore_connection(self) -> None:
        """Let the links come back."""
        ...

    def lose_reply(self, operation: str) -> None:
        """Let the next call of a method be applied, and its reply be lost."""
        ...

    def drop_events(self, count: int) -> None:
        """Lose so many of the next events on their way to the watches."""
        ...

    def clear(self) -> None:
        """End all faults."""
        ...


def new_root() -> str:
    """Give a path that nobody has used."""
    return f"/kit-{uuid4().hex}"


@pytest.mark.asyncio
class CoordinationFixtures:
    """What a class of the kit opens, and how; ``settings`` is the only one to be overridden.

    Over synchronous twins ``harness``, ``open_coordination`` and ``make_coordination`` are, too.
    """

    @pytest.fixture
    def settings(self) -> Mapping[str, Any]:
        """Keyword arguments of ``open_coordination``; what is in the tree already stays there."""
        message = "override the fixture `settings`: keyword arguments of open_coordination"
        raise NotImplementedError(message)

    @pytest.fixture
    def harness(self) -> Harness:
        """Give what the tests use for time and concurrency."""
        return AsyncioHarness()

    @pytest.fixture
    def open_coordination(self, settings: Mapping[str, Any]) -> OpenCoordination:
        """Open the service; every time another client with a session of its own."""

        def opened(**options: Any) -> AbstractAsyncContextManager[Coordination]:
            merged: dict[str, Any] = {**settings, **options}
            return opener_of(**merged)

        return opened

    @pytest.fixture
    def make_coordination(self, settings: Mapping[str, Any]) -> MakeCoordination:
        """Make a client that is not connected."""

        def made(**options: Any) -> Coordination:
            merged: dict[str, Any] = {**settings, **options}
            coordination: Coordination = opener_of(**merged).resolved.backend()
            return coordination

        return made

    @pytest_asyncio.fixture
    async def coordination(
        self, open_coordination: OpenCoordination
    ) -> AsyncGenerator[Coordination]:
        """Give the open service."""
        async with open_coordination() as coordination:
            yield coordination

    @pytest_asyncio.fixture
    async def other(
        self, coordination: Coordination, open_coordination: OpenCoordination
    ) -> AsyncGenerator[Coordination]:
        """Give a second client of the same service."""
        async with open_coordination() as other:
            yield other

    @pytest.fixture
    def root(self) -> str:
        """Give a path that only this test knows; there is no node yet."""
        return new_root()


class FaultFixtures(CoordinationFixtures):
    """The fixtures of the classes that provoke faults; ``faults`` is to be overridden, too."""

    @pytest.fixture
    def faults(self, settings: Mapping[str, Any]) -> SessionFaults:
        """Give the faults of the service that ``settings`` opens, none of them on."""
        message = "override the fixture `faults`: see SessionFaults"
        raise NotImplementedError(message)
