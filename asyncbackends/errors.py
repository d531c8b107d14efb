"""Every error that asyncbackends raises, in one flat tree.

::

    BackendError
      ConfigurationError               UnknownEngineError, EngineUnavailableError, SchemaVersionError
      ConnectionFailedError            AuthenticationFailedError, TlsFailedError    (also ConnectionError)
      ConnectionLostError              (also ConnectionError)
      OperationTimeoutError            (also TimeoutError)
      ClockSkewError, BackendClosedError, ForkedError, AccessDeniedError, NotSupportedError
      InvalidRequestError              (also ValueError)
      NotFoundError                    ObjectNotFoundError, FqNameNotFoundError,
                                       UseragentKeyNotFoundError, NodeNotFoundError,
                                       QueueNotFoundError, ExchangeNotFoundError    (also LookupError)
      AlreadyExistsError               ObjectExistsError, FqNameTakenError, NodeExistsError
      ConflictError                    RevisionConflictError, StillReferencedError, HasChildrenError,
                                       DanglingRefError, TransactionFailedError, StaleFenceError,
                                       DeclarationConflictError, WriteContentionError
      PublishError                     PublishRejectedError, UnroutableError, MessageTooLargeError,
                                       OutboxFullError, PublishUnconfirmedError
      DeliveryError                    StaleDeliveryError, AlreadySettledError, DeliveryGapError
      SessionLostError, LeadershipLostError, LockNotAcquiredError
      QuotaExceededError, ResourceExhaustedError
      CompactedError

Every error says whether its write was applied: not applied (the default), or unknown
(``maybe_applied``). ``retryable`` says whether the same call may succeed later without a change.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from asyncbackends.protocols.nodes import NodeStat
    from asyncbackends.protocols.values import Gap

__all__ = (
    "AccessDeniedError",
    "AlreadyExistsError",
    "AlreadySettledError",
    "AuthenticationFailedError",
    "BackendClosedError",
    "BackendError",
    "ClockSkewError",
    "CompactedError",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "ConnectionLostError",
    "DanglingRefError",
    "DeclarationConflictError",
    "DeliveryError",
    "DeliveryGapError",
    "EngineUnavailableError",
    "ExchangeNotFoundError",
    "ForkedError",
    "FqNameNotFoundError",
    "FqNameTakenError",
    "HasChildrenError",
    "InvalidRequestError",
    "LeadershipLostError",
    "LockNotAcquiredError",
    "MessageTooLargeError",
    "NodeExistsError",
    "NodeNotFoundError",
    "NotFoundError",
    "NotSupportedError",
    "ObjectExistsError",
    "ObjectNotFoundError",
    "OperationTimeoutError",
    "OutboxFullError",
    "PublishError",
    "PublishRejectedError",
    "PublishUnconfirmedError",
    "QueueNotFoundError",
    "QuotaExceededError",
    "ResourceExhaustedError",
    "RevisionConflictError",
    "SchemaVersionError",
    "SessionLostError",
    "StaleDeliveryError",
    "StaleFenceError",
    "StillReferencedError",
    "TlsFailedError",
    "TransactionFailedError",
    "UnknownEngineError",
    "UnroutableError",
    "UseragentKeyNotFoundError",
    "WriteContentionError",
)


class BackendError(Exception):
    """The root of the tree.

    ``engine`` and ``operation`` are filled in by the backend that raised the error.
    ``maybe_applied`` is True when a write may or may not have happened.
    """

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, maybe_applied: bool = False) -> None:
        super().__init__(message)
        self.engine: str | None = None
        self.operation: str | None = None
        self.maybe_applied = maybe_applied


class ConfigurationError(BackendError):
    """Settings, options or a schema that cannot be used; nothing was contacted or changed."""


class UnknownEngineError(ConfigurationError):
    """No engine of that name is installed."""


class EngineUnavailableError(ConfigurationError):
    """The engine is known, but its driver cannot be imported; the message names the extra."""


class SchemaVersionError(ConfigurationError):
    """The tables are missing or of another version than this adapter's."""


class ConnectionFailedError(BackendError, ConnectionError):
    """First contact failed on every endpoint."""

    retryable = True


class AuthenticationFailedError(ConnectionFailedError):
    """The server refused the credentials; never retried."""

    retryable = False


class TlsFailedError(ConnectionFailedError):
    """TLS was asked for and could not be had; nothing secret was sent, and it is never retried."""

    retryable = False


class ConnectionLostError(BackendError, ConnectionError):
    """The link went down before an answer came."""

    retryable = True


class OperationTimeoutError(BackendError, TimeoutError):
    """The deadline passed."""

    retryable = True


class ClockSkewError(BackendError):
    """This machine's clock is too far from the server's: writes are refused."""


class BackendClosedError(BackendError):
    """The backend is not connected: not yet, no longer, or its owner task failed."""


class ForkedError(BackendError):
    """The backend was opened in another process; open it again after the fork."""


class AccessDeniedError(BackendError):
    """The account lacks a right that the operation needs."""


class NotSupportedError(BackendError):
    """The engine lacks an optional feature."""

    def __init__(self, message: str, *, feature: str) -> None:
        super().__init__(message)
        self.feature = feature


class InvalidRequestError(BackendError, ValueError):
    """An argument breaks a rule: a path, a header, an object, a field, a value, a size."""


class NotFoundError(BackendError, LookupError):
    """What was asked for is not there."""


class ObjectNotFoundError(NotFoundError):
    """No object of that type has that id."""


class FqNameNotFoundError(NotFoundError):
    """No object of that type has that name."""


class UseragentKeyNotFoundError(NotFoundError):
    """The useragent store has no such key."""


class NodeNotFoundError(NotFoundError):
    """No node has that path."""


class QueueNotFoundError(NotFoundError):
    """No queue has that name on that exchange."""


class ExchangeNotFoundError(NotFoundError):
    """No exchange has that name."""


class AlreadyExistsError(BackendError):
    """What should be made is there already."""


class ObjectExistsError(AlreadyExistsError):
    """An object with that uuid exists and has other content."""


class FqNameTakenError(AlreadyExistsError):
    """Another object of the type, ``holder``, has that name."""

    def __init__(self, message: str, *, holder: str) -> None:
        super().__init__(message)
        self.holder = holder


class NodeExistsError(AlreadyExistsError):
    """A node with that path exists; ``stat`` is how it is, None where nobody could say."""

    def __init__(self, message: str, *, stat: "NodeStat | None" = None) -> None:
        super().__init__(message)
        self.stat = stat


class ConflictError(BackendError):
    """The state of the database does not allow the write."""


class RevisionConflictError(ConflictError):
    """The object moved: ``expected_revision`` was ``expected`` and the object is at ``actual``."""

    def __init__(self, message: str, *, expected: int, actual: int) -> None:
        super().__init__(message)
        self.expected = expected
        self.actual = actual


class StillReferencedError(ConflictError):
    """The object is referenced by ``holders`` (uuids, sorted) and the references are not relaxed."""

    def __init__(self, message: str, *, holders: Sequence[str]) -> None:
        super().__init__(message)
        self.holders = tuple(holders)


class HasChildrenError(ConflictError):
    """The object or node still has children; ``children`` names some of them, sorted."""

    def __init__(self, message: str, *, children: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.children = tuple(children)


class DanglingRefError(ConflictError):
    """A parent or a referenced object does not exist."""


class TransactionFailedError(ConflictError):
    """Operation number ``index`` of a unit was refused with ``error``; nothing was applied.

    ``created`` names what is there all the same, only on an engine without ATOMIC_BATCH.
    """

    def __init__(
        self, message: str, *, index: int, error: BackendError, created: Sequence[str] = ()
    ) -> None:
        super().__init__(message, maybe_applied=error.maybe_applied)
        self.index = index
        self.error = error
        self.created = tuple(created)


class StaleFenceError(ConflictError):
    """A write came with a fence lower than the ``highest`` (epoch, token) seen under ``name``."""

    def __init__(
        self, message: str, *, name: str, fence: tuple[int, int], highest: tuple[int, int]
    ) -> None:
        super().__init__(message)
        self.name = name
        self.fence = fence
        self.highest = highest


class DeclarationConflictError(ConflictError):
    """An exchange or queue ``name`` exists with ``actual`` where ``expected`` was asked for."""

    def __init__(self, message: str, *, name: str, expected: object, actual: object) -> None:
        super().__init__(message)
        self.name = name
        self.expected = expected
        self.actual = actual


class WriteContentionError(ConflictError):
    """A deadlock, a serialization failure, a busy file: nothing was applied, trying again may help."""

    retryable = True


class PublishError(BackendError):
    """A message was not stored, or nobody knows whether it was."""


class PublishRejectedError(PublishError):
    """The broker refused the message; it is not stored."""


class UnroutableError(PublishError):
    """The message was ``mandatory`` and no queue takes it; it is not stored."""


class MessageTooLargeError(PublishError):
    """The message has ``size`` bytes and the limit is ``limit``; it is not stored."""

    def __init__(self, message: str, *, size: int, limit: int) -> None:
        super().__init__(message)
        self.size = size
        self.limit = limit


class OutboxFullError(PublishError):
    """The outbox is full and stayed so; the message was not taken."""

    retryable = True


class PublishUnconfirmedError(PublishError):
    """The message was sent and not answered: it may be stored, and is never sent again.

    Publish it again with the same ``message_id``.
    """

    retryable = True

    def __init__(self, message: str, *, message_id: str) -> None:
        super().__init__(message, maybe_applied=True)
        self.message_id = message_id


class DeliveryError(BackendError):
    """A delivery cannot be settled, or may not be the next one."""


class StaleDeliveryError(DeliveryError):
    """The delivery's link is gone: the broker gives the message again, to this consumer or another."""


class AlreadySettledError(DeliveryError):
    """The delivery was acked, nacked or rejected before."""


class DeliveryGapError(DeliveryError):
    """Messages may have been missed, as ``gap`` says; the subscription can be iterated further."""

    def __init__(self, message: str, *, gap: "Gap") -> None:
        super().__init__(message)
        self.gap = gap


class SessionLostError(BackendError):
    """The session is over by this machine's clock; what it held may be another's by now."""


class LeadershipLostError(BackendError):
    """The term ended while its body ran; another may lead by now."""


class LockNotAcquiredError(BackendError):
    """Others held the lock until the deadline."""

    retryable = True


class QuotaExceededError(BackendError):
    """A counter is at its quota."""


class ResourceExhaustedError(BackendError):
    """A disk, a pool, a quota or a limit is used up."""


class CompactedError(BackendError):
    """A watch was opened with a ``since`` that is gone; ``oldest`` is the first that is kept."""

    def __init__(self, message: str, *, oldest: int) -> None:
        super().__init__(message)
        self.oldest = oldest
