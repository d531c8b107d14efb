"""The tree of errors is what its docstring draws, and says what is unknown."""

import inspect

import pytest

from asyncbackends import errors
from asyncbackends.errors import BackendError

CLASSES = [getattr(errors, name) for name in errors.__all__]


def test_the_docstring_draws_every_error() -> None:
    assert errors.__doc__ is not None
    missing = [found.__name__ for found in CLASSES if found.__name__ not in errors.__doc__]
    assert missing == []


@pytest.mark.parametrize("found", CLASSES, ids=lambda found: found.__name__)
def test_an_error_is_not_applied_unless_it_says_so(found: type[BackendError]) -> None:
    required = [
        name
        for name, parameter in inspect.signature(found).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
    ]
    values = {"error": BackendError("inner"), "index": 0}
    error = found("words", **{name: values.get(name, ()) for name in required})
    assert (str(error), error.maybe_applied) == ("words", False)
    assert error.engine is None
    assert error.operation is None


@pytest.mark.parametrize(
    ("found", "builtin"),
    [
        (errors.ConnectionFailedError, ConnectionError),
        (errors.ConnectionLostError, ConnectionError),
        (errors.OperationTimeoutError, TimeoutError),
        (errors.InvalidRequestError, ValueError),
        (errors.NotFoundError, LookupError),
    ],
)
def test_errors_are_also_the_builtins_people_catch(
    found: type[BackendError], builtin: type[Exception]
) -> None:
    assert issubclass(found, builtin)


def test_what_is_wrong_for_good_is_not_retryable() -> None:
    assert errors.ConnectionFailedError.retryable
    assert not errors.AuthenticationFailedError.retryable
    assert not errors.TlsFailedError.retryable


def test_a_unit_is_as_unknown_as_the_error_in_it() -> None:
    inner = BackendError("lost", maybe_applied=True)
    assert errors.TransactionFailedError("unit", index=0, error=inner).maybe_applied
