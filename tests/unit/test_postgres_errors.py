"""What asyncpg's errors become: one table."""

import ssl
from typing import Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs]  # it has none
import pytest

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
from asyncbackends_postgres.driver_errors import (
    is_contention,
    is_lost,
    is_read_only,
    is_refusal,
    ours,
    refusal,
)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (asyncpg.ConnectionDoesNotExistError("closed"), ConnectionLostError),
        (asyncpg.AdminShutdownError("bye"), ConnectionLostError),
        (asyncpg.CannotConnectNowError("starting up"), ConnectionFailedError),
        (asyncpg.InvalidPasswordError("no"), AuthenticationFailedError),
        (asyncpg.InvalidAuthorizationSpecificationError("no"), AuthenticationFailedError),
        (asyncpg.InvalidCatalogNameError('database "x" does not exist'), ConnectionFailedError),
        (asyncpg.UndefinedTableError("no table"), SchemaVersionError),
        (asyncpg.UndefinedFunctionError("no function"), SchemaVersionError),
        (asyncpg.InsufficientPrivilegeError("no right"), AccessDeniedError),
        (asyncpg.ReadOnlySQLTransactionError("read-only"), AccessDeniedError),
        (asyncpg.DiskFullError("full"), ResourceExhaustedError),
        (asyncpg.TooManyConnectionsError("full"), ResourceExhaustedError),
        (asyncpg.SerializationError("again"), WriteContentionError),
        (asyncpg.DeadlockDetectedError("again"), WriteContentionError),
        (asyncpg.LockNotAvailableError("again"), WriteContentionError),
        (asyncpg.QueryCanceledError("late"), OperationTimeoutError),
        (asyncpg.ProgramLimitExceededError("large"), InvalidRequestError),
        (asyncpg.InvalidSQLStatementNameError("gone"), ConfigurationError),
        (asyncpg.InterfaceError("busy"), BackendError),
        (asyncpg.InternalServerError("oops"), BackendError),
        (Contended("40001"), WriteContentionError),
        (Refused("guard"), WriteContentionError),
    ],
)
def test_errors(error: Exception, kind: type[BackendError]) -> None:
    found = ours(error)
    assert found is not None
    assert type(found) is kind
    assert not found.maybe_applied


@pytest.mark.parametrize("error", [ValueError("x"), OSError("x"), TimeoutError()])
def test_what_is_not_the_drivers_is_none_of_ours(error: Exception) -> None:
    assert ours(error) is None
    assert refusal(error) is None


def test_values_are_not_repeated() -> None:
    error = asyncpg.InvalidTextRepresentationError('invalid input syntax: "secret"')
    assert "secret" not in str(ours(error))
    # Details hold values; the server's short message holds none.
    taken: Any = asyncpg.UniqueViolationError("duplicate key")
    taken.detail = "Key (value)=(secret) already exists."
    assert "secret" in str(taken)
    assert "secret" not in str(ours(taken))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (asyncpg.InvalidPasswordError("no"), AuthenticationFailedError),
        (asyncpg.InvalidCatalogNameError("no"), ConnectionFailedError),
        (ConfigurationError("no"), ConfigurationError),
        (ssl.SSLCertVerificationError("no"), TlsFailedError),
        (ConnectionError('server at "x" rejected SSL upgrade'), TlsFailedError),
        (asyncpg.ProtocolViolationError("no such database: x"), ConnectionFailedError),
        (
            asyncpg.ProtocolViolationError("unsupported startup parameter: jit"),
            ConfigurationError,
        ),
    ],
)
def test_refusals_are_final(error: Exception, kind: type[BackendError]) -> None:
    assert type(refusal(error)) is kind


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("no"),
        ssl.SSLEOFError("cut off"),
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.TooManyConnectionsError("full"),
        ConnectionError("unexpected connection_lost() call"),
    ],
)
def test_what_may_end_by_itself_is_no_refusal(error: Exception) -> None:
    assert refusal(error) is None


def test_what_ends_a_link_and_what_does_not() -> None:
    assert is_lost(asyncpg.ConnectionDoesNotExistError("closed"))
    assert is_lost(ConnectionResetError("reset"))
    assert is_lost(ConnectionLostError("closed"))
    assert not is_lost(TimeoutError())
    assert not is_lost(asyncpg.UniqueViolationError("taken"))


def test_what_a_unit_meets() -> None:
    for refused in (asyncpg.UniqueViolationError, asyncpg.ForeignKeyViolationError):
        assert is_refusal(refused("x"))
    assert not is_refusal(asyncpg.DeadlockDetectedError("x"))
    assert is_contention(asyncpg.DeadlockDetectedError("x"))
    assert is_contention(
        asyncpg.InvalidCachedStatementError("cached plan must not change result type")
    )
    assert not is_contention(asyncpg.UniqueViolationError("x"))
    assert is_read_only(asyncpg.ReadOnlySQLTransactionError("x"))
