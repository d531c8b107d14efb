"""What the nats engine is configured with."""

from typing import Annotated, Final, Protocol

import msgspec

from asyncbackends.coordination.paths import MAX_PATH_BYTES, MAX_VALUE_BYTES
from asyncbackends.coordination.transaction import MAX_OPERATIONS
from asyncbackends.options import Secret, ServerBrokerOptions, ServerCoordinationOptions
from asyncbackends.protocols.guarantees import Guarantee, Limits

__all__ = (
    "BROKER_GUARANTEES",
    "COORDINATION_GUARANTEES",
    "COORDINATION_LIMITS",
    "ConnectionOptions",
    "NatsBrokerOptions",
    "NatsCoordinationOptions",
)

Replicas = Annotated[int, msgspec.Meta(ge=1, le=5)]
InboxPrefix = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_.-]{1,60}$")]

BROKER_GUARANTEES: Final = frozenset(
    {
        Guarantee.ORDERED_PER_PUBLISHER,
        Guarantee.REDELIVERS_UNACKED,
        Guarantee.SERVER_DEDUPE,
        Guarantee.MANDATORY_EXACT,
        Guarantee.DIRECT_ROUTING,
        Guarantee.SHARED_BETWEEN_PROCESSES,
        Guarantee.SURVIVES_PROCESS_KILL,
    }
)
"""Without EXACT_DELIVERY_COUNT: a server that was killed has counted some deliveries for nothing.
"""

COORDINATION_GUARANTEES: Final = frozenset(
    {
        Guarantee.LINEARIZABLE_READS,
        Guarantee.ATOMIC_TRANSACTIONS,
        Guarantee.EXPIRING_SESSIONS,
        Guarantee.FENCING_TOKENS,
        Guarantee.SHARED_BETWEEN_PROCESSES,
        Guarantee.SURVIVES_PROCESS_KILL,
    }
)
"""Without ATOMIC_RECURSIVE_DELETE: a server takes a thousand messages at once, and no more."""

COORDINATION_LIMITS: Final = Limits(
    value_bytes=MAX_VALUE_BYTES, transaction_operations=MAX_OPERATIONS, path_bytes=MAX_PATH_BYTES
)


class ConnectionOptions(Protocol):
    """What a connection needs of the options of whatever backend."""

    @property
    def connect_timeout(self) -> float: ...
    @property
    def operation_timeout(self) -> float: ...
    @property
    def link_timeout(self) -> float: ...
    @property
    def username(self) -> str | None: ...
    @property
    def password(self) -> Secret | None: ...
    @property
    def token(self) -> Secret | None: ...
    @property
    def nkey_seed_file(self) -> str | None: ...
    @property
    def credentials_file(self) -> str | None: ...
    @property
    def tls_server_name(self) -> str | None: ...
    @property
    def tls_first(self) -> bool: ...
    @property
    def inbox_prefix(self) -> str: ...


class NatsBrokerOptions(ServerBrokerOptions, frozen=True, kw_only=True):
    """Options of the nats message broker."""

    replicas: Replicas = 1
    """So many servers of a cluster keep what this client makes."""
    token: Secret | None = None
    """In the place of username and password."""
    nkey_seed_file: str | None = None
    """A file with the seed of an nkey, in the place of a password."""
    credentials_file: str | None = None
    """A .creds file with a JWT and a seed, in the place of a password."""
    tls_first: bool = False
    """The server begins with TLS before it says a word (its ``handshake_first``)."""
    inbox_prefix: InboxPrefix = "_INBOX"
    """Answers come to subjects that begin so; the account must be allowed to subscribe to them."""


class NatsCoordinationOptions(ServerCoordinationOptions, frozen=True, kw_only=True):
    """Options of the nats coordination service."""

    replicas: Replicas = 1
    """So many servers of a cluster keep the stream, where this client makes it."""
    server_syncs_always: bool = False
    """The operator says that the server runs with ``sync_interval: always``: it tells no client."""
    token: Secret | None = None
    """In the place of username and password."""
    nkey_seed_file: str | None = None
    """A file with the seed of an nkey, in the place of a password."""
    credentials_file: str | None = None
    """A .creds file with a JWT and a seed, in the place of a password."""
    tls_first: bool = False
    """The server begins with TLS before it says a word (its ``handshake_first``)."""
    inbox_prefix: InboxPrefix = "_INBOX"
    """Answers come to subjects that begin so; the account must be allowed to subscribe to them."""
