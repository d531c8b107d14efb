"""ZooKeeper's operations and errors, and what its errors are to a caller: one table."""

import enum
import ssl
from typing import Final

from aiozk import exc
from aiozk.protocol.auth import AuthRequest
from aiozk.protocol.check import CheckVersionRequest
from aiozk.protocol.children import GetChildrenRequest
from aiozk.protocol.close import CloseRequest
from aiozk.protocol.create import Create2Request, CreateRequest
from aiozk.protocol.data import GetDataRequest, SetDataRequest
from aiozk.protocol.delete import DeleteRequest
from aiozk.protocol.exists import ExistsRequest
from aiozk.protocol.ping import PingRequest
from aiozk.protocol.sync import SyncRequest
from aiozk.protocol.transaction import TransactionRequest
from aiozk.protocol.watches import RemoveWatchesRequest

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

__all__ = ("ENDS", "GONE", "WRITES", "Code", "Op", "dial_failure", "ours")


class Op(enum.IntEnum):
    """What a request asks for."""

    CREATE = CreateRequest.opcode
    DELETE = DeleteRequest.opcode
    EXISTS = ExistsRequest.opcode
    GET_DATA = GetDataRequest.opcode
    SET_DATA = SetDataRequest.opcode
    GET_CHILDREN = GetChildrenRequest.opcode
    SYNC = SyncRequest.opcode
    PING = PingRequest.opcode
    CHECK = CheckVersionRequest.opcode
    MULTI = TransactionRequest.opcode
    CREATE2 = Create2Request.opcode
    REMOVE_WATCHES = RemoveWatchesRequest.opcode
    MULTI_READ = 22
    AUTH = AuthRequest.opcode
    ADD_WATCH = 106
    CLOSE = CloseRequest.opcode


WRITES: Final = frozenset({Op.CREATE, Op.CREATE2, Op.DELETE, Op.SET_DATA, Op.MULTI})


class Code(enum.IntEnum):
    """What a reply says of an operation."""

    OK = 0
    LEFT_OUT = exc.RuntimeInconsistency.error_code
    CONNECTION_LOSS = exc.ConnectionLoss.error_code
    UNIMPLEMENTED = exc.Unimplemented.error_code
    TIMEOUT = exc.OperationTimeout.error_code
    BAD_ARGUMENTS = exc.BadArguments.error_code
    UNKNOWN_SESSION = -12
    NO_NODE = exc.NoNode.error_code
    NO_AUTH = exc.NoAuth.error_code
    BAD_VERSION = exc.BadVersion.error_code
    EPHEMERAL_PARENT = exc.NoChildrenForEphemerals.error_code
    NODE_EXISTS = exc.NodeExists.error_code
    NOT_EMPTY = exc.NotEmpty.error_code
    SESSION_EXPIRED = exc.SessionExpired.error_code
    INVALID_ACL = exc.InvalidACL.error_code
    AUTH_FAILED = exc.AuthFailed.error_code
    SESSION_MOVED = exc.SessionMoved.error_code
    READ_ONLY = exc.NotReadOnly.error_code
    LOCAL_SESSION = exc.EphemeralOnLocalSession.error_code
    QUOTA = -125
    THROTTLED = -127


GONE: Final[frozenset[int]] = frozenset({Code.SESSION_EXPIRED, Code.UNKNOWN_SESSION})
"""The session is over."""
ENDS: Final[frozenset[int]] = GONE | {Code.SESSION_MOVED, Code.AUTH_FAILED}
"""After these the server ends the connection, or answers nothing more on it."""
FOR_NOW: Final = frozenset(
    {Code.CONNECTION_LOSS, Code.TIMEOUT, Code.THROTTLED, Code.READ_ONLY, *ENDS}
)


def ours(code: int, what: str) -> BackendError:
    """Give our error for a code of which the caller knows nothing better."""
    name = Code(code).name.lower().replace("_", " ") if code in {*Code} else "an error"
    words = f"{what}: ZooKeeper says {name} ({code})"
    if code in FOR_NOW:
        return ConnectionLostError(words)
    if code in {Code.NO_AUTH, Code.INVALID_ACL}:
        return AccessDeniedError(f"{words}: the node's ACL does not allow it")
    if code == Code.QUOTA:
        return ResourceExhaustedError(words)
    if code in {Code.UNIMPLEMENTED, Code.LOCAL_SESSION}:
        return NotSupportedError(words, feature="zookeeper")
    if code == Code.BAD_ARGUMENTS:
        return InvalidRequestError(words)
    return BackendError(words)


def dial_failure(error: Exception, endpoint: str) -> BackendError | None:
    """Give our error for one that ended a dial; None for what is not the connection's."""
    if isinstance(error, AuthenticationFailedError | TlsFailedError):
        return error
    if isinstance(error, ConnectionLostError):
        cause = error.__cause__
        if isinstance(cause, ssl.SSLError):
            return dial_failure(cause, endpoint)
        return ConnectionFailedError(f"{endpoint} cannot be used: {error}")
    if isinstance(error, BackendError):
        return error
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or str(error)
        return TlsFailedError(f"TLS with {endpoint} failed: {reason}")
    if isinstance(error, TimeoutError):
        return ConnectionFailedError(f"{endpoint} did not answer in time")
    if isinstance(error, OSError):
        words = str(error) or type(error).__name__
        return ConnectionFailedError(f"{endpoint} cannot be reached: {words}")
    return None
