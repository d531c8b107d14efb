"""The pure parts of calls: messages, failures, names, and the binding of parameters."""

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbackends.broker.delivery import Delivery
from asyncbackends.broker.wire import IncomingMessage
from asyncbackends.errors import BackendError, InvalidRequestError
from asyncbackends.rpc import (
    HandlerError,
    InvalidParamsError,
    MethodNotFoundError,
    RemoteError,
    RpcContext,
)
from asyncbackends.rpc.failures import Failure, failure_of, raised_at_caller
from asyncbackends.rpc.forms import (
    Request,
    failure_message,
    read_reply,
    read_request,
    request_message,
    result_message,
)
from asyncbackends.rpc.handlers import Handlers, RefusedError
from asyncbackends.rpc.topic import Topic


def delivery(**changes: Any) -> Delivery:
    fields: dict[str, Any] = {
        "token": 1,
        "exchange": "t",
        "routing_key": "",
        "body": b"",
        "headers": {},
        "message_id": "m1",
        "correlation_id": "m1",
        "reply_to": "c",
        "timestamp": 0.0,
        "expires_at": 30.0,
        "redelivered": True,
        "delivery_count": 2,
    }
    return Delivery(IncomingMessage(**{**fields, **changes}), None)  # type: ignore[arg-type]  # pure


def as_json(message: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(message)


# Messages.


@given(st.dictionaries(st.text(max_size=5), st.integers(-5, 5) | st.text(max_size=5)))
def test_request_is_read_as_it_was_made(params: dict[str, Any]) -> None:
    made = request_message("method", MappingProxyType(params))
    assert read_request(as_json(made)) == Request("method", params)


def test_request_without_params() -> None:
    assert request_message("m", None) == {"method": "m"}
    assert read_request(b'{"method": "m", "later": 1}') == Request("m", {})


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"null", b"{}", b'{"method": 1}', b'{"method": "m", "params": 1}']
)
def test_what_is_no_request(body: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="no request"):
        read_request(body)


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b'{"error": {"kind": "x"}}'])
def test_what_is_no_reply(body: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="no reply"):
        read_reply(body)


@pytest.mark.parametrize("result", [None, 0, "", [], {"error": {"kind": "k"}}])
def test_result_is_read_as_it_was_made(result: Any) -> None:
    reply = read_reply(as_json(result_message(result)))
    assert (reply.result, reply.error) == (result, None)


def test_failure_is_read_as_it_was_made() -> None:
    failure = Failure("handler", "ValueError", "text")
    assert read_reply(as_json(failure_message(failure))).error == failure


# Failures.


class QuietError(Exception):
    """Its text is nobody's business."""


class LoudError(QuietError):
    """Its text is exposed."""


def test_text_of_an_error_stays() -> None:
    failure = failure_of(QuietError("secret"), ())
    assert failure.type == "QuietError"
    assert "secret" not in failure.text
    assert failure_of(QuietError("secret"), (LoudError,)).text == failure.text


def test_text_of_an_exposed_error_goes() -> None:
    assert failure_of(LoudError("a\nb\0c"), (QuietError,)).text == "a b c"
    assert failure_of(HandlerError("Type\n", "text"), ()) == Failure("handler", "Type", "text")
    # Another server's words are no more exposed than others.
    assert "secret" not in failure_of(RemoteError("X", "secret"), ()).text


def test_text_of_an_error_is_bounded() -> None:
    assert len(failure_of(LoudError("x" * 10**6), (LoudError,)).text) == 2000


@pytest.mark.parametrize(
    ("kind", "expected", "ran"),
    [
        ("method", MethodNotFoundError, False),
        ("params", InvalidParamsError, False),
        ("handler", RemoteError, True),
        ("result", RemoteError, True),
        ("of a later version", RemoteError, True),
    ],
)
def test_failure_is_raised_at_the_caller(kind: str, expected: type[RemoteError], ran: bool) -> None:
    error = raised_at_caller(Failure(kind, "Type", "text"))
    assert type(error) is expected
    assert isinstance(error, BackendError)
    assert (error.type_name, error.text, str(error)) == ("Type", "text", "Type: text")
    assert error.maybe_applied is ran
    assert not error.retryable


# Names.


def test_names_of_a_topic() -> None:
    topic = Topic("compute")
    assert (topic.calls, topic.fanout, topic.replies) == (
        "compute",
        "compute.fanout",
        "compute.replies",
    )
    assert topic.key_of("host-1") == "host-1"
    # No server's name can be taken for the shared key, and no topic's queue for another's.
    assert "@" in topic.key_of(None)
    assert topic.shared_queue != topic.queue_of("servers")


@pytest.mark.parametrize("name", ["", "@", "a b", "é", "x" * 81])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(InvalidRequestError):
        Topic(name)
    with pytest.raises(InvalidRequestError):
        Topic("t").key_of(name)


# Handlers.


class Called:
    async def __call__(self, number: int) -> int:
        return number


async def two(first: int, second: int = 2) -> list[int]:
    return [first, second]


async def told(context: RpcContext, /, **params: Any) -> Any:
    return context, params


HANDLERS = Handlers(
    {"two": two, "told": told, "partial": functools.partial(two, 7), "object": Called()}
)


@pytest.mark.parametrize(
    ("method", "params", "expected"),
    [
        ("two", {"first": 1}, [1, 2]),
        ("two", {"second": 1, "first": 3}, [3, 1]),
        ("partial", {"second": 1}, [7, 1]),
        ("object", {"number": 5}, 5),
    ],
)
async def test_handler_is_called_by_names(
    method: str, params: dict[str, Any], expected: Any
) -> None:
    assert await HANDLERS.call(Request(method, params), delivery()) == expected


async def test_handler_is_told_of_a_redelivery() -> None:
    context, params = await HANDLERS.call(Request("told", {"context": 1}), delivery())
    assert params == {"context": 1}
    assert (context.method, context.message_id) == ("told", "m1")
    assert (context.redelivered, context.delivery_count) == (True, 2)
    assert context.wants_reply
    assert context.expires_at is not None
    context, _ = await HANDLERS.call(Request("told"), delivery(reply_to=None, expires_at=None))
    assert (context.wants_reply, context.expires_at) == (False, None)


@pytest.mark.parametrize("params", [{}, {"first": 1, "third": 1}, {"": 1}])
async def test_params_that_do_not_fit(params: dict[str, Any]) -> None:
    with pytest.raises(RefusedError) as caught:
        await HANDLERS.call(Request("two", params), delivery())
    assert caught.value.failure.kind == "params"


async def test_type_error_of_a_handler_is_its_own() -> None:
    async def wrong() -> Any:
        return two(1, 2, 3)  # type: ignore[call-arg]  # that is what is wrong

    with pytest.raises(TypeError):
        await Handlers({"wrong": wrong}).call(Request("wrong"), delivery())


async def test_method_that_is_not_there() -> None:
    with pytest.raises(RefusedError) as caught:
        await HANDLERS.call(Request("x" * 1000), delivery())
    assert caught.value.failure.kind == "method"
    assert len(caught.value.failure.text) < 200
