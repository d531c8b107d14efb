"""What the backends of every kind share: lifecycle, state, identity."""

import enum
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol

import msgspec

from asyncbackends.protocols.guarantees import Guarantee, Limits

__all__ = ("Backend", "ConnectionState", "ConnectionStatus", "Kind", "ServerInfo")


class Kind(enum.StrEnum):
    """The kinds of service, by the name of their entry point group."""

    CONFIG_DATABASE = "config_database"
    MESSAGE_BROKER = "message_broker"
    COORDINATION = "coordination"

    @property
    def words(self) -> str:
        """The words that people read in logs, errors and health reports."""
        return {"coordination": "coordination service"}.get(
            self.value, self.value.replace("_", " ")
        )


class ConnectionState(enum.StrEnum):
    """The state of a backend's link, the same for every kind."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    BLOCKED = "blocked"
    """The server refuses writes for now."""
    DISCONNECTED = "disconnected"
    CLOSED = "closed"


class ConnectionStatus(msgspec.Struct, frozen=True):
    """A state, since when (UTC) it holds, on which endpoint, and why."""

    state: ConnectionState
    since: datetime
    endpoint: str | None = None
    reason: str | None = None


class ServerInfo(msgspec.Struct, frozen=True):
    """The product that answers and its version, as it names them."""

    product: str
    version: str


class Backend(Protocol):
    """The lifecycle that every backend has.

    New code opens a backend with ``async with open_...`` and never calls :meth:`connect` and
    :meth:`shutdown` itself. The two may run in different tasks.
    """

    @property
    def engine(self) -> str:
        """The name of the engine, as in the settings."""
        ...

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        """What holds for this open backend, options and server version considered."""
        ...

    @property
    def limits(self) -> Limits:
        """What is checked before a request is sent."""
        ...

    @property
    def state(self) -> ConnectionState:
        """The present state of the link."""
        ...

    def states(self) -> AbstractAsyncContextManager[AsyncIterator[ConnectionStatus]]:
        """Watch the link: the present status first, then every later one.

        Level-triggered: a slow reader may miss states in between, never the last. The iteration
        ends after CLOSED.
        """
        ...

    async def server_info(self) -> ServerInfo:
        """Ask the server who it is: one cheap round trip that changes nothing."""
        ...

    async def connect(self, **params: Any) -> None:
        """Connect, trying every endpoint once, within ``connect_timeout`` seconds.

        :param params: options by name, over those that the backend was made with.
        :raises ConfigurationError: an unknown option, a wrong value, or a second ``connect``.
        :raises ConnectionFailedError: no endpoint answered.
        """
        ...

    async def shutdown(self, *, grace: float = 5.0) -> None:
        """Close everything; idempotent, and ended after ``grace`` + 2 seconds at the latest.

        Operations in flight may finish within ``grace`` seconds. Afterwards every call raises
        BackendClosedError, and no task, socket or thread of the backend is left.
        """
        ...
