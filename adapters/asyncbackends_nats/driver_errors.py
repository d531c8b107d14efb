"""What the errors of NATS and of nats-py are to a caller."""

import ssl
from typing import Any, Final

import nats.errors

from asyncbackends.errors import (
    AccessDeniedError,
    AuthenticationFailedError,
    BackendError,
    ConnectionFailedError,
    ConnectionLostError,
    InvalidRequestError,
    NotSupportedError,
    ResourceExhaustedError,
    TlsFailedError,
)

__all__ = (
    "NO_ANSWERER",
    "NO_CONSUMER",
    "NO_MESSAGE",
    "NO_STORE",
    "NO_STREAM",
    "OTHER_CONSUMER",
    "OTHER_SEQUENCE",
    "OTHER_STREAM",
    "TEMPORARY",
    "JetStreamError",
    "is_denial",
    "is_login",
    "ours",
    "refused_dial",
)

NO_ANSWERER: Final = 0
"""Not JetStream's own: nobody serves the subject, that is status 503."""
NO_CONSUMER: Final = 10014
NO_MESSAGE: Final = 10037
NO_STORE: Final = 10049
"""Also for a moment, while what had the name before is being removed."""
OTHER_STREAM: Final = 10058
NO_STREAM: Final = 10059
OTHER_SEQUENCE: Final = frozenset({10071, 10163, 10164})
"""Somebody else was first; with replicas also while the other one is not decided yet."""
OTHER_CONSUMER: Final = frozenset({10148, 10013, 10105})
UNAVAILABLE: Final = 503
"""In the place of a number of its own, as with `raft: not leader`."""
TEMPORARY: Final = frozenset({NO_ANSWERER, UNAVAILABLE, 10008, 10009})
"""No leader for now, as while a cluster elects one."""
NO_JETSTREAM: Final = frozenset({10039, 10076})
LATE: Final = "authentication timeout"
LOGIN: Final = ("authorization violation", "authentication", "user authentication", "revoked")


class JetStreamError(Exception):
    """What JetStream's API answers in the place of a result."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.err_code = err_code
        self.description = description

    @classmethod
    def of(cls, error: dict[str, Any]) -> "JetStreamError":
        """Read the object ``error`` of an answer."""
        code = int(error.get("code", 500))
        return cls(code, int(error.get("err_code", code)), str(error.get("description", "")))


def is_denial(text: str) -> bool:
    """Say whether a server's -ERR is about one subject and leaves the connection as it is."""
    return "permissions violation" in text.lower()


def is_login(text: str) -> bool:
    """Say whether a server's -ERR is about who we are."""
    told = text.lower()
    # It came too late, and says nothing of whether it is the right one.
    return not told.startswith(LATE) and (told.startswith(LOGIN) or "authentication" in told)


def ours(error: Exception) -> BackendError | None:
    """Give our error for the driver's, outside of a dial."""
    if isinstance(error, JetStreamError):
        return _of_jetstream(error)
    if isinstance(error, nats.errors.Error):
        return ConnectionLostError(f"the connection was lost (nats-py: {_words(error)})")
    if isinstance(error, OSError) and not isinstance(error, TimeoutError):
        return ConnectionLostError(f"the connection was lost ({_words(error)})")
    return None


def _of_jetstream(error: JetStreamError) -> BackendError:
    words = f"{error.description} (NATS: error {error.err_code})"
    if error.err_code in TEMPORARY:
        return ConnectionLostError(f"JetStream has no leader for now: {words}")
    if error.err_code in NO_JETSTREAM:
        return ConnectionFailedError(f"JetStream is not there for this account: {words}")
    if error.err_code in {10023, 10028, 10047, 10002, 10026, 10027, 10005, 10074}:
        return ResourceExhaustedError(f"JetStream has no room: {words}")
    if error.err_code == 10052:
        return NotSupportedError(words, feature="nats")
    if error.code == 403:
        return AccessDeniedError(words)
    if error.code == 400:
        return InvalidRequestError(f"JetStream refuses it: {words}")
    return BackendError(f"JetStream: {words}")


def refused_dial(error: Exception, endpoint: str, *, tls: bool) -> BackendError | None:
    """Give our error for one that ended a dial; None for what is not the driver's."""
    if isinstance(error, ConnectionLostError):
        return ConnectionFailedError(f"{endpoint} cannot be used: {error}")
    if isinstance(error, BackendError):
        return error
    certificate = _first(error, ssl.SSLError, ssl.CertificateError)
    if certificate is not None:
        reason = getattr(certificate, "verify_message", "") or getattr(certificate, "reason", "")
        return TlsFailedError(f"TLS with {endpoint} failed: {reason or certificate}")
    if isinstance(error, nats.errors.Error):
        text = str(error).removeprefix("nats: ").strip("'")
        if is_login(text):
            return AuthenticationFailedError(f"{endpoint} refused the login: {text}")
        if "tls required" in text.lower():
            return TlsFailedError(f"{endpoint} demands TLS: set tls = on")
        return ConnectionFailedError(f"{endpoint} cannot be used: {text}")
    if isinstance(error, TimeoutError):
        return ConnectionFailedError(f"{endpoint} did not answer in time")
    if isinstance(error, OSError):
        cure = "; the server may have ended it because of the certificate" if tls else ""
        return ConnectionFailedError(f"{endpoint} cannot be reached: {_words(error)}{cure}")
    return None


def _first(error: BaseException | None, *kinds: type[Exception]) -> Exception | None:
    while error is not None:
        if isinstance(error, kinds):
            return error
        error = error.__cause__ or error.__context__
    return None


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
