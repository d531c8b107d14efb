"""What MariaDB's and MySQL's errors are to a caller: one table, by code."""

import ssl
from collections.abc import Callable
from typing import Final, NamedTuple

from asyncbackends.errors import (
    AccessDeniedError,
    AuthenticationFailedError,
    BackendError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    InvalidRequestError,
    OperationTimeoutError,
    ResourceExhaustedError,
    SchemaVersionError,
    TlsFailedError,
    WriteContentionError,
)
from asyncbackends.sql.server import Contended, Refused

__all__ = (
    "BROKEN",
    "ServerError",
    "is_contention",
    "is_lost",
    "is_read_only",
    "is_refusal",
    "ours",
    "refusal",
)


class ServerError(Exception):
    """An error that the server sent, or the driver in its place, by its code."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(code, words)
        self.code = code
        self.words = words

    def __str__(self) -> str:
        return f"error {self.code}: {self.words}"


BROKEN: Final = 2013
"""The code for a link that ended, whatever ended it."""


class _Meaning(NamedTuple):
    """Our error, what to say, and whether the server's own words may be repeated.

    They are not where they repeat a value.
    """

    error: Callable[[str], BackendError]
    words: str
    quoted: bool = True


LOST: Final = _Meaning(ConnectionLostError, "the connection was lost")
LOGIN: Final = _Meaning(AuthenticationFailedError, "the server refused the login")
NO_RIGHT: Final = _Meaning(AccessDeniedError, "the account lacks a right")
READ_ONLY: Final = _Meaning(AccessDeniedError, "the server takes no writes")
FULL: Final = _Meaning(ResourceExhaustedError, "the server's disk is full")
USED_UP: Final = _Meaning(ResourceExhaustedError, "the server has used up a resource")
TOO_MANY: Final = _Meaning(ResourceExhaustedError, "the server takes no more connections")
NO_TABLES: Final = _Meaning(SchemaVersionError, "the tables are not those that this adapter made")
TOO_LARGE: Final = _Meaning(
    InvalidRequestError, "a value is larger than the server takes", quoted=False
)
WRONG_VALUE: Final = _Meaning(InvalidRequestError, "the server does not take a value", quoted=False)
BUSY: Final = _Meaning(WriteContentionError, "another write was in the way")
CHANGED: Final = _Meaning(
    WriteContentionError, "what the write needs was changed meanwhile", quoted=False
)
STOPPED: Final = _Meaning(OperationTimeoutError, "the server stopped the statement")
UNREACHABLE: Final = _Meaning(ConnectionFailedError, "the server cannot be reached")

TABLE: Final = {
    1020: BUSY,
    1021: FULL,
    1026: FULL,
    1036: READ_ONLY,
    1037: USED_UP,
    1038: USED_UP,
    1040: TOO_MANY,
    1041: USED_UP,
    1043: UNREACHABLE,
    1044: _Meaning(AccessDeniedError, "the account may not use the database"),
    1045: LOGIN,
    1047: LOST,
    1048: CHANGED,
    1049: _Meaning(ConnectionFailedError, "the database is missing"),
    1053: LOST,
    1054: NO_TABLES,
    1062: CHANGED,
    1064: _Meaning(BackendError, "the server does not take the statement", quoted=False),
    1077: LOST,
    1079: LOST,
    1114: FULL,
    1129: UNREACHABLE,
    1130: LOGIN,
    1142: NO_RIGHT,
    1143: NO_RIGHT,
    1146: NO_TABLES,
    1152: LOST,
    1153: TOO_LARGE,
    1158: LOST,
    1159: LOST,
    1160: LOST,
    1161: LOST,
    1184: LOST,
    1203: TOO_MANY,
    1205: BUSY,
    1206: USED_UP,
    1213: BUSY,
    1223: READ_ONLY,
    1226: TOO_MANY,
    1227: NO_RIGHT,
    1251: LOGIN,
    1264: WRONG_VALUE,
    1275: LOGIN,
    1290: READ_ONLY,
    1301: TOO_LARGE,
    1317: STOPPED,
    1366: WRONG_VALUE,
    1406: TOO_LARGE,
    1451: CHANGED,
    1452: CHANGED,
    1524: LOGIN,
    1690: CHANGED,
    1698: LOGIN,
    1792: READ_ONLY,
    1820: LOGIN,
    1836: READ_ONLY,
    1862: LOGIN,
    1874: READ_ONLY,
    1927: LOST,
    1969: STOPPED,
    2002: UNREACHABLE,
    2003: UNREACHABLE,
    2006: LOST,
    2013: LOST,
    2014: LOST,
    2055: LOST,
    2059: LOGIN,
    3024: STOPPED,
    3118: LOGIN,
    3169: LOST,
    3955: LOGIN,
    4031: LOST,
    4151: LOGIN,
}

REFUSED: Final = frozenset({1048, 1062, 1451, 1452, 1690})
"""Nothing was applied, for what the unit needs is not so; 1690 is how its checks say that."""
FINAL: Final = frozenset({1044, 1049})
"""Beside a refused login: what the same configuration never gets."""
CLIENT_SIDE: Final = range(2000, 3000)
"""What a driver says by itself."""
NO_SPACE: Final = ("error 28", "errno: 28", "No space left")


def is_refusal(error: ServerError) -> bool:
    """Say whether a unit's needs were not met."""
    return error.code in REFUSED


def is_contention(error: ServerError) -> bool:
    """Say whether another unit was in the way."""
    return TABLE.get(error.code) is BUSY


def is_read_only(error: ServerError) -> bool:
    """Say whether the server takes no writes."""
    return TABLE.get(error.code) is READ_ONLY


def is_lost(error: Exception) -> bool:
    """Say whether the link is lost."""
    if isinstance(error, ServerError):
        return _meaning(error) is LOST
    return isinstance(error, OSError) and not isinstance(error, (BackendError, TimeoutError))


def _meaning(error: ServerError) -> _Meaning | None:
    meaning = TABLE.get(error.code)
    if meaning is None and error.code in CLIENT_SIDE:
        return LOST
    if error.code in {1030, 1180} and any(words in error.words for words in NO_SPACE):
        return FULL
    return meaning


def ours(error: Exception) -> BackendError | None:
    """Give our error for the driver's, whose write was not applied."""
    if isinstance(error, (Contended, Refused)):
        return WriteContentionError(f"others were in the way: {error}")
    if not isinstance(error, ServerError):
        return None
    meaning = _meaning(error)
    if meaning is None:
        return BackendError(f"the server refused it ({error})")
    said = str(error) if meaning.quoted else f"error {error.code}"
    return meaning.error(f"{meaning.words} ({said})")


def refusal(error: Exception) -> BackendError | None:
    """Give our error for that of a login, if the same login is never taken."""
    if isinstance(error, (ConfigurationError, AuthenticationFailedError, TlsFailedError)):
        return error
    tls = error if isinstance(error, ssl.SSLError) else error.__cause__
    if isinstance(tls, ssl.SSLError) and not isinstance(tls, ssl.SSLEOFError):
        reason = getattr(tls, "verify_message", None) or tls.reason or str(tls)
        return TlsFailedError(f"TLS failed: {reason}")
    if isinstance(error, ServerError) and (error.code in FINAL or TABLE.get(error.code) is LOGIN):
        return ours(error)
    return None
