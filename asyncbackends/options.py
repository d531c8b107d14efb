"""The options that every engine has, as frozen Structs that an engine's own options extend."""

from typing import Annotated, Literal, TypeAlias

import msgspec

from asyncbackends.schema import Schema

__all__ = (
    "BackendOptions",
    "BrokerOptions",
    "CoordinationOptions",
    "DatabaseOptions",
    "Namespace",
    "Seconds",
    "Secret",
    "ServerBrokerOptions",
    "ServerCoordinationOptions",
    "ServerDatabaseOptions",
    "ServerOptions",
)

Seconds: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=86400)]
Namespace: TypeAlias = Annotated[str, msgspec.Meta(pattern="^([A-Za-z][A-Za-z0-9_]{0,39})?$")]


class Secret:
    """Text that never shows: not in a repr, a log or an error."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Give the text, for the driver alone."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('***')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


class BackendOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of every engine of every kind."""

    namespace: Namespace = "asyncbackends"
    """Several systems share one server by it; empty is bare names."""
    connect_timeout: Seconds = 10.0
    """Seconds for first contact, all endpoints together."""
    operation_timeout: Seconds = 10.0
    """Seconds for waiting, sending, the answer and the adapter's own retries together."""


class ServerOptions(BackendOptions, frozen=True, kw_only=True):
    """Options of every engine with a server."""

    link_timeout: Seconds = 10.0
    """A silent peer is given up after at most twice these seconds."""
    reconnect_min: Seconds = 0.05
    reconnect_max: Seconds = 5.0
    username: str | None = None
    password: Secret | None = None
    password_file: str | None = None
    tls: Literal["off", "on"] = "off"
    tls_ca_file: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    tls_server_name: str | None = None


class DatabaseOptions(BackendOptions, frozen=True, kw_only=True):
    """Options of every configuration database."""

    schema: Schema | None = None
    """In a settings file the path of a TOML file; None uses the stored one."""
    create_schema: bool = True
    """Make and migrate tables; without the right to, say no and they are checked instead."""
    integrity: Literal["strict", "legacy"] = "strict"
    """legacy permits what OpenContrail's database layer permitted: duplicate names, dangling refs."""
    watch_history: Annotated[int, msgspec.Meta(ge=1)] = 100_000
    """So many of the last changes are kept for ``watch(since=)``."""


class ServerDatabaseOptions(ServerOptions, frozen=True, kw_only=True):
    """Options of every configuration database with a server.

    A Struct has one base with fields, so those of :class:`DatabaseOptions` stand here again.
    """

    database: str = "asyncbackends"
    """The server's database that holds the tables."""
    pool_size: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10
    """At most so many connections; opened as they are needed."""
    poll_interval: Seconds = 0.1
    """Seconds between looks for others' writes, while somebody watches."""
    schema: Schema | None = None
    create_schema: bool = True
    integrity: Literal["strict", "legacy"] = "strict"
    watch_history: Annotated[int, msgspec.Meta(ge=1)] = 100_000


class BrokerOptions(BackendOptions, frozen=True, kw_only=True):
    """Options of every message broker."""

    exchange: str | None = None
    """Where ``publish`` without an exchange goes, and what ``consume`` reads from."""
    queue: str | None = None
    """The queue that ``consume`` reads from; None is a private one."""
    outbox_messages: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1000
    """So many messages wait at most for the broker's confirm."""
    outbox_bytes: Annotated[int, msgspec.Meta(ge=1_000_000)] = 16 * 1024 * 1024
    """So many bytes wait at most for the broker's confirm."""
    max_message_bytes: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1_000_000
    """The body of a message and its headers, checked before it is sent."""
    clock_skew: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 1.0
    """A consumer drops what is more than these seconds past its expiry by its own clock."""


class ServerBrokerOptions(ServerOptions, frozen=True, kw_only=True):
    """Options of every message broker with a server.

    A Struct has one base with fields, so those of :class:`BrokerOptions` stand here again.
    """

    durability: Literal["process", "disk"] = "process"
    """What a confirmed message survives: the server's end, or the loss of power too."""
    exchange: str | None = None
    queue: str | None = None
    outbox_messages: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1000
    outbox_bytes: Annotated[int, msgspec.Meta(ge=1_000_000)] = 16 * 1024 * 1024
    max_message_bytes: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1_000_000
    clock_skew: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 1.0


class CoordinationOptions(BackendOptions, frozen=True, kw_only=True):
    """Options of every coordination service."""

    session_ttl: Annotated[float, msgspec.Meta(ge=2, le=3600)] = 10.0
    """Seconds without a renewal after which the service ends the session; it may grant more."""
    fence_epoch: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 0
    """Raise it when the service is replaced, wiped or restored: its tokens may begin anew."""


class ServerCoordinationOptions(ServerOptions, frozen=True, kw_only=True):
    """Options of every coordination service with a server.

    A Struct has one base with fields, so those of :class:`CoordinationOptions` stand here again.
    """

    session_ttl: Annotated[float, msgspec.Meta(ge=2, le=3600)] = 10.0
    fence_epoch: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 0
