"""Opens links to ZooKeeper servers, and hands the session on from one to the next."""

import asyncio
import ssl
from collections.abc import Sequence

from asyncbackends.clock import Clock, SystemClock
from asyncbackends.coordination.wire import LinkEvents, Wire
from asyncbackends.coordination.wire_service import WireCoordination
from asyncbackends.endpoints import check_ports
from asyncbackends.errors import (
    BackendError,
    ConfigurationError,
    ConnectionLostError,
    NotSupportedError,
)
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.tls import tls_context
from asyncbackends_zookeeper.codes import dial_failure
from asyncbackends_zookeeper.connection import Connection
from asyncbackends_zookeeper.dialing import PORT, Greeting, dial, is_alone, log_in
from asyncbackends_zookeeper.jute import ACL_CREATOR, ACL_OPEN
from asyncbackends_zookeeper.link import KeptSession, ZooKeeperLink
from asyncbackends_zookeeper.names import Names
from asyncbackends_zookeeper.options import (
    COORDINATION_GUARANTEES,
    COORDINATION_LIMITS,
    ZooKeeperOptions,
)

__all__ = ("ZooKeeperWire", "create")


class ZooKeeperWire:
    """Implements :class:`asyncbackends.coordination.wire.Wire`."""

    remembers_names = False

    def __init__(self, endpoints: Sequence[str], options: ZooKeeperOptions) -> None:
        self.clock: Clock = SystemClock()
        self._options = options
        self._names = Names(options.namespace)
        self._acl = ACL_OPEN if options.is_open else ACL_CREATOR
        self._context: ssl.SSLContext | None = None
        self._session: KeptSession | None = None

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        return _guarantees(self._options)

    @property
    def limits(self) -> Limits:
        return COORDINATION_LIMITS

    def error(self, exc: Exception) -> BackendError | None:
        if isinstance(exc, OSError) and not isinstance(exc, TimeoutError):
            return ConnectionLostError(f"the link was lost: {exc}")
        return None

    async def open(self, endpoint: str, events: LinkEvents) -> ZooKeeperLink:
        options = self._options
        if options.tls == "on" and self._context is None:
            loop = asyncio.get_running_loop()
            self._context = await loop.run_in_executor(None, tls_context, options)
        connection, session = await self._attached(endpoint, events)
        try:
            await log_in(connection, options)
            alone = await is_alone(connection)
            # The server may have told by that answer that the session is over.
            connection.check()
        except BaseException as error:
            await connection.close()
            failure = dial_failure(error, endpoint) if isinstance(error, Exception) else None
            if failure is None:
                raise
            raise failure from error
        return ZooKeeperLink(
            endpoint,
            self._context,
            connection,
            session,
            self._names,
            self._acl,
            alone=alone,
            lost=events.lost,
        )

    async def _attached(self, endpoint: str, events: LinkEvents) -> tuple[Connection, KeptSession]:
        """Connect with the session that there is, or with a new one."""
        kept = self._session
        if kept is not None and not kept.over:
            connection, greeting = await self._dial(endpoint, kept)
            if greeting.session:
                kept.password = greeting.password
                return connection, kept
            await connection.close()
            kept.over = True
            events.session_unknown(kept.id)
        connection, greeting = await self._dial(endpoint, None)
        self._session = KeptSession(greeting.session, greeting.password, greeting.ttl)
        return connection, self._session

    async def _dial(self, endpoint: str, kept: KeptSession | None) -> tuple[Connection, Greeting]:
        number, password = (0, b"") if kept is None else (kept.number, kept.password)
        is_first = self._session is None
        return await dial(
            endpoint, self._options, self._context, number, password, is_first=is_first
        )

    async def close(self) -> None:
        pass


def _guarantees(options: ZooKeeperOptions) -> frozenset[Guarantee]:
    found = COORDINATION_GUARANTEES
    # Only the operator knows whether the servers' forceSync is on: they tell no client.
    if options.durability == "disk":
        found |= {Guarantee.SURVIVES_POWER_LOSS}
    return found


def create(
    endpoints: Sequence[str], options: ZooKeeperOptions
) -> WireCoordination[ZooKeeperOptions]:
    """Make a coordination service that is not connected yet.

    :raises ConfigurationError: an endpoint is none, or an option lacks another one.
    :raises NotSupportedError: SASL is asked for.
    """
    check_ports(endpoints, PORT, "ZooKeeper")
    if options.sasl_mechanism is not None:
        message = (
            "sasl_mechanism is not supported: username and password log in by digest, and a "
            "certificate by TLS"
        )
        raise NotSupportedError(message, feature="sasl")
    if options.acl == "creator" and options.username is None:
        raise ConfigurationError("acl = creator needs a username and a password: they say who may")
    if options.username is not None and ":" in options.username:
        raise ConfigurationError("username: digest ends a name at its first colon; take another")
    return WireCoordination(
        "zookeeper",
        endpoints,
        options,
        ZooKeeperWire,
        guarantees=_guarantees(options),
        limits=COORDINATION_LIMITS,
    )


_: type[Wire] = ZooKeeperWire
