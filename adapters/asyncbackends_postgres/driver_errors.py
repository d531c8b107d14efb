"""What PostgreSQL's errors are to a caller: one table, by SQLSTATE or its class."""

from collections.abc import Callable
from ssl import SSLEOFError, SSLError
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
from asyncbackends_postgres.driver import DriverError, OutOfStepError, ServerError

__all__ = (
    "is_contention",
    "is_lost",
    "is_read_only",
    "is_refusal",
    "is_unsent",
    "ours",
    "refusal",
    "sqlstate",
)


class _Meaning(NamedTuple):
    """Our error, what to say, and whether the server's own words may be repeated.

    They are not where they repeat a value.
    """

    error: Callable[[str], BackendError]
    words: str
    quoted: bool = True


LOST: Final = _Meaning(ConnectionLostError, "the connection was lost")
NO_TABLES: Final = _Meaning(SchemaVersionError, "the tables are not those that this adapter made")
FULL: Final = _Meaning(ResourceExhaustedError, "the server has used up a resource")
PREPARED: Final = _Meaning(
    ConfigurationError, "prepared statements get lost: behind a pooler set pooler = transaction"
)

TABLE: Final = {
    "08": LOST,
    "0A": _Meaning(BackendError, "the server cannot do this"),
    "22": _Meaning(InvalidRequestError, "the server does not take a value", quoted=False),
    "23": _Meaning(WriteContentionError, "what the write needs was changed meanwhile"),
    "25": _Meaning(BackendError, "the transaction is not in the state it should be in"),
    "25006": _Meaning(AccessDeniedError, "the server takes no writes"),
    "25P03": LOST,
    "25P04": LOST,
    "26000": PREPARED,
    "28": _Meaning(AuthenticationFailedError, "the server refused the login"),
    "3D": _Meaning(ConnectionFailedError, "the database is missing"),
    "3F": NO_TABLES,
    "40": _Meaning(WriteContentionError, "another write was in the way"),
    "42": _Meaning(BackendError, "the server does not take the statement"),
    "42501": _Meaning(AccessDeniedError, "the account lacks a right"),
    "42P01": NO_TABLES,
    "42P05": PREPARED,
    "42703": NO_TABLES,
    "42883": NO_TABLES,
    "53": FULL,
    "53100": _Meaning(ResourceExhaustedError, "the server's disk is full"),
    "53300": _Meaning(ResourceExhaustedError, "the server takes no more connections"),
    "54": _Meaning(InvalidRequestError, "a value is larger than the server takes", quoted=False),
    "55P03": _Meaning(WriteContentionError, "another write holds a lock"),
    "57014": _Meaning(OperationTimeoutError, "the server stopped the statement"),
    "57P01": LOST,
    "57P02": LOST,
    "57P03": _Meaning(ConnectionFailedError, "the server takes no connections now"),
    "57P05": LOST,
    "58": _Meaning(ResourceExhaustedError, "the server cannot use its files"),
}
"""A whole SQLSTATE, else its class of two characters."""

REFUSED: Final = frozenset({"AB001", "21000", "23502", "23503", "23505"})
"""Nothing was applied, for what the unit needs is not so."""
CONTENDED: Final = frozenset({"40001", "40P01", "55P03"})


def sqlstate(error: Exception) -> str:
    """Give what the server says, or asyncpg in its place; empty for what is neither's."""
    return (getattr(error, "sqlstate", None) or "") if isinstance(error, ServerError) else ""


def is_refusal(error: Exception) -> bool:
    """Say whether a unit's needs were not met."""
    return sqlstate(error) in REFUSED


def is_contention(error: Exception) -> bool:
    """Say whether another unit was in the way."""
    # A plan that tables outgrew cannot be made anew inside a transaction, only with it.
    return sqlstate(error) in CONTENDED or "cached plan" in str(error)


def is_read_only(error: Exception) -> bool:
    """Say whether the server takes no writes."""
    return sqlstate(error) == "25006"


def is_lost(error: Exception) -> bool:
    """Say whether the link is lost."""
    if isinstance(error, TimeoutError):
        return False
    return isinstance(error, (OSError, OutOfStepError)) or _meaning(error) is LOST


def is_unsent(error: BaseException | None) -> bool:
    """Say whether the driver found the link's end before it sent anything."""
    if isinstance(error, OutOfStepError):
        return str(error).startswith(("not connected", "cannot switch"))
    return isinstance(error, DriverError)


def ours(error: Exception) -> BackendError | None:
    """Give our error for the driver's, whose write was not applied."""
    if isinstance(error, (Contended, Refused)):
        return WriteContentionError(f"others were in the way: {error}")
    if isinstance(error, OutOfStepError):
        return ConnectionLostError(f"the connection was lost (asyncpg: {error})")
    if isinstance(error, DriverError):
        return BackendError(f"asyncpg: {error}")
    meaning = _meaning(error)
    if meaning is None:
        return BackendError(f"PostgreSQL: {_words(error)}") if sqlstate(error) else None
    if not meaning.quoted:
        return meaning.error(f"{meaning.words} (PostgreSQL: error {sqlstate(error)})")
    return meaning.error(f"{meaning.words} (PostgreSQL: {_words(error)})")


def _meaning(error: Exception) -> _Meaning | None:
    state = sqlstate(error)
    return TABLE.get(state) or TABLE.get(state[:2])


def _words(error: Exception) -> str:
    """Give the server's message without the lines of detail, which may hold values."""
    return str(error.args[0]).partition("\n")[0] if error.args else type(error).__name__


# A pooler says in its own words what the server would say with a SQLSTATE.
POOLERS: Final = (
    ("unsupported startup parameter", ConfigurationError, "set pooler = transaction"),
    ("no such database", ConnectionFailedError, "the database is missing"),
    ("no such user", AuthenticationFailedError, "the pooler refused the login"),
)


def refusal(error: Exception) -> BackendError | None:
    """Give our error for that of a login, if the same login is never taken."""
    if isinstance(error, ConfigurationError):
        return error
    tls = error if isinstance(error, SSLError) else error.__cause__
    if isinstance(tls, SSLError) and not isinstance(tls, SSLEOFError):
        reason = getattr(tls, "verify_message", "") or getattr(tls, "reason", "") or str(tls)
        return TlsFailedError(f"TLS failed: {reason}")
    if isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error):
        # asyncpg has no error of its own for this.
        return TlsFailedError("tls = on, and the server offers no TLS")
    state = sqlstate(error)
    for words, kind, meaning in POOLERS:
        if state and words in str(error):
            return kind(f"{meaning} ({_words(error)})")
    return ours(error) if state[:2] in {"28", "3D"} else None
