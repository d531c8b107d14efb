"""The tree of errors: what each one says without being read."""

import pytest

from asyncbackends import errors
from asyncbackends.errors import BackendError
from asyncbackends.narrowing import is_list
from asyncbackends.protocols.values import Gap

ALL = [getattr(errors, name) for name in errors.__all__]
RETRYABLE = {
    errors.ConnectionFailedError,
    errors.ConnectionLostError,
    errors.OperationTimeoutError,
    errors.WriteContentionError,
    errors.OutboxFullError,
    errors.PublishUnconfirmedError,
    errors.LockNotAcquiredError,
}
UNKNOWN_OUTCOME = {errors.TransactionFailedError, errors.PublishUnconfirmedError}
# What an error takes beside its message.
ARGUMENTS: dict[type[BackendError], dict[str, object]] = {
    errors.NotSupportedError: {"feature": "atomic_batch"},
    errors.FqNameTakenError: {"holder": "uuid"},
    errors.RevisionConflictError: {"expected": 1, "actual": 2},
    errors.StillReferencedError: {"holders": ["a"]},
    errors.HasChildrenError: {"children": ["a"]},
    errors.StaleFenceError: {"name": "term", "fence": (1, 1), "highest": (1, 2)},
    errors.CompactedError: {"oldest": 5},
    errors.DeclarationConflictError: {"name": "q", "expected": 1, "actual": 2},
    errors.DeliveryGapError: {"gap": Gap("recreated")},
    errors.MessageTooLargeError: {"size": 2, "limit": 1},
    errors.PublishUnconfirmedError: {"message_id": "m"},
    errors.TransactionFailedError: {
        "index": 3,
        "error": errors.DanglingRefError("x", maybe_applied=True),
        "created": ["a"],
    },
}


def made(kind: type[BackendError]) -> BackendError:
    return kind("what happened", **ARGUMENTS.get(kind, {}))  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_says_the_same_things(kind: type[BackendError]) -> None:
    error = made(kind)
    assert isinstance(error, BackendError)
    assert str(error) == "what happened"
    assert (error.engine, error.operation) == (None, None)
    assert error.retryable == (kind in RETRYABLE)
    assert error.maybe_applied == (kind in UNKNOWN_OUTCOME)
    for name, value in ARGUMENTS.get(kind, {}).items():
        found = getattr(error, name)
        assert found == (tuple(value) if is_list(value) else value)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.ConnectionFailedError, ConnectionError),
        (errors.ConnectionLostError, ConnectionError),
        (errors.OperationTimeoutError, TimeoutError),
        (errors.InvalidRequestError, ValueError),
        (errors.NotFoundError, LookupError),
        (errors.ObjectNotFoundError, LookupError),
    ],
)
def test_error_is_also_the_builtin(kind: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(kind, builtin)


@pytest.mark.parametrize(
    ("parent", "children"),
    [
        ("ConfigurationError", "UnknownEngine EngineUnavailable SchemaVersion"),
        ("ConnectionFailedError", "AuthenticationFailed TlsFailed"),
        (
            "NotFoundError",
            """ObjectNotFound FqNameNotFound UseragentKeyNotFound NodeNotFound QueueNotFound
            ExchangeNotFound""",
        ),
        ("AlreadyExistsError", "ObjectExists FqNameTaken NodeExists"),
        (
            "ConflictError",
            """RevisionConflict StillReferenced HasChildren DanglingRef TransactionFailed
            StaleFence DeclarationConflict WriteContention""",
        ),
        (
            "PublishError",
            "PublishRejected Unroutable MessageTooLarge OutboxFull PublishUnconfirmed",
        ),
        ("DeliveryError", "StaleDelivery AlreadySettled DeliveryGap"),
    ],
)
def test_tree_is_that_of_the_docstring(parent: str, children: str) -> None:
    expected = {f"{name}Error" for name in children.split()}
    assert {kind.__name__ for kind in getattr(errors, parent).__subclasses__()} == expected
    drawn = errors.__doc__ or ""
    assert [name for name in errors.__all__ if name not in drawn] == []


def test_unknown_outcome_is_said() -> None:
    assert errors.OperationTimeoutError("x", maybe_applied=True).maybe_applied
    assert errors.ConnectionLostError("x", maybe_applied=True).maybe_applied
