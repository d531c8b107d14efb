"""What etcd's errors are to a caller: by gRPC's status, and by words where one has several."""

from typing import Final

from asyncbackends.coordination.wire import SessionUnknownError
from asyncbackends.errors import (
    AccessDeniedError,
    AuthenticationFailedError,
    BackendError,
    ConnectionLostError,
    InvalidRequestError,
    NotSupportedError,
    ResourceExhaustedError,
)
from asyncbackends_etcd.grpc_channel import RpcError, Status
from asyncbackends_etcd.http2_stream import StreamBrokenError
from asyncbackends_etcd.protobuf import DecodeError

__all__ = ("failure", "is_compacted", "is_denied", "is_future", "is_token_trouble", "no_login")

NO_LEASE: Final = "requested lease not found"
COMPACTED: Final = "required revision has been compacted"
FUTURE: Final = "required revision is a future revision"
NO_AUTH: Final = "authentication is not enabled"
DENIED: Final = "permission denied"
TOKENS: Final = ("invalid auth token", "revision of auth store is old", "user name is empty")
"""Who has an account logs in again, and is not denied anything yet."""
LOGINS: Final = ("authentication failed", "invalid user ID or password", "user name not found")
NOTHING_DONE: Final = ("no leader", "too many requests", "unhealthy cluster")
"""The server has passed nothing on."""


def is_token_trouble(error: RpcError) -> bool:
    """Say whether another token may help."""
    return error.code == Status.UNAUTHENTICATED or any(words in error.details for words in TOKENS)


def no_login(error: RpcError) -> bool:
    """Say whether the server knows no accounts."""
    return NO_AUTH in error.details


def is_compacted(error: RpcError) -> bool:
    """Say whether the history that was asked for is gone."""
    return COMPACTED in error.details


def is_future(error: RpcError) -> bool:
    """Say whether the revision that was asked for is still to come."""
    return FUTURE in error.details


def is_denied(words: str) -> bool:
    """Say whether a right is missing."""
    return DENIED in words


def failure(error: Exception, *, wrote: bool = False) -> Exception | None:
    """Give our error for what a call ended with, None for what is not the driver's.

    :param wrote: the call was one that changes something.
    """
    if isinstance(error, StreamBrokenError):
        return ConnectionLostError(str(error), maybe_applied=wrote and error.heard)
    if isinstance(error, DecodeError):
        message = f"the server's answer cannot be read: {error}"
        return ConnectionLostError(message, maybe_applied=wrote)
    return _of_status(error, wrote=wrote) if isinstance(error, RpcError) else None


def _of_status(error: RpcError, *, wrote: bool) -> Exception:
    details = error.details.removeprefix("etcdserver: ")
    code = error.code
    if code == Status.NOT_FOUND and NO_LEASE in details:
        return SessionUnknownError(details)
    if any(words in details for words in LOGINS):
        return AuthenticationFailedError(f"etcd refuses the login: {details}")
    if is_token_trouble(error):
        return AuthenticationFailedError(f"etcd wants a login: {details}")
    if code == Status.PERMISSION_DENIED or DENIED in details:
        return AccessDeniedError(f"etcd refuses it: {details}")
    if any(words in details for words in NOTHING_DONE):
        return ConnectionLostError(f"etcd cannot answer now: {details}")
    ours = _refusal(code, details)
    if ours is not None:
        return ours
    return ConnectionLostError(f"etcd did not answer: {details}", maybe_applied=wrote)


def _refusal(code: int, details: str) -> BackendError | None:
    """Give our error for what the server surely did not do and will not."""
    if code == Status.RESOURCE_EXHAUSTED:
        return ResourceExhaustedError(f"etcd has no room: {details}")
    if "too many operations" in details:
        return InvalidRequestError(f"etcd takes fewer at once, see its --max-txn-ops: {details}")
    if code == Status.INVALID_ARGUMENT:
        return InvalidRequestError(f"etcd refuses the request: {details}")
    if code == Status.UNIMPLEMENTED:
        return NotSupportedError(f"this is no etcd as we need it: {details}", feature="etcd v3")
    return None
