"""What a connection is told first, and what the server says of itself. Pure."""

import math
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from asyncbackends.errors import ConfigurationError
from asyncbackends.options import ServerDatabaseOptions
from asyncbackends.protocols.backend import ServerInfo
from asyncbackends.protocols.guarantees import Guarantee, Limits

__all__ = ("Facts", "facts_of", "setup")

OLDEST: Final = {"MariaDB": (10, 5), "MySQL": (8, 0)}
VERSION: Final = re.compile(r"(\d+)\.(\d+)\.\d+")
# As text MariaDB writes them in words, and other servers as numbers.
OFF: Final = frozenset({"OFF", "0"})
# For the names and statements around a value.
ROOM: Final = 64 * 1024

SETTINGS: Final = (
    "SET NAMES utf8mb4; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;"
    " SET SESSION autocommit = 1, sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',"
    # An hour that comes twice a year must not stand twice in the times.
    " time_zone = '+00:00', foreign_key_checks = 1, unique_checks = 1, sql_safe_updates = 0,"
    " sql_select_limit = DEFAULT, innodb_lock_wait_timeout = {seconds};"
    " SELECT VERSION(), @@max_allowed_packet, CAST(@@global.read_only AS CHAR),"
    " CAST(@@global.innodb_read_only AS CHAR), @@innodb_flush_log_at_trx_commit,"
    " CAST(@@log_bin AS CHAR), @@sync_binlog,"
    " CONCAT_WS(' ', @@hostname, @@port, @@server_id, @@datadir)"
)


class Facts(msgspec.Struct, frozen=True):
    """What a server says of itself at the login."""

    server: ServerInfo
    packet_bytes: int
    """The longest text of statements that it takes at once."""
    read_only: bool
    durable: bool
    """It waits for the disk at every commit."""
    identity: str
    """Two connections lead to the same server if it is the same."""

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        """What this server adds."""
        return frozenset({Guarantee.SURVIVES_POWER_LOSS} if self.durable else ())

    @property
    def limits(self) -> Limits:
        """A value is sent with two characters for each byte, and may have another one beside it."""
        return Limits(value_bytes=max(0, (self.packet_bytes - ROOM) // 4))


def setup(options: ServerDatabaseOptions) -> str:
    """Give the first packet of a session."""
    seconds = max(1, math.ceil(options.operation_timeout))
    return SETTINGS.format(seconds=seconds)


def facts_of(row: Sequence[Any]) -> Facts:
    """Read the answer to it.

    :raises ConfigurationError: the server is too old.
    """
    text, packet, read_only, innodb_read_only, flush, binlog, sync, identity = row
    product = "MariaDB" if "mariadb" in text.lower() else "MySQL"
    found = VERSION.match(text)
    if found is None or (int(found[1]), int(found[2])) < OLDEST[product]:
        oldest = ".".join(map(str, OLDEST[product]))
        message = f"{product} {text} is too old; the mysql engine needs {oldest}"
        raise ConfigurationError(message)
    return Facts(
        ServerInfo(product, found[0]),
        packet,
        not {read_only, innodb_read_only} <= OFF,
        flush == 1 and (binlog in OFF or sync == 1),
        identity,
    )
