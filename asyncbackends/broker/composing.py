"""What may be published and declared: arguments of the Protocol in, checked messages out. Pure."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import count
from secrets import token_hex
from typing import Any, Final, TypeVar, get_args

import msgspec

from asyncbackends.broker.wire import OutgoingMessage
from asyncbackends.clock import checked_timeout
from asyncbackends.errors import InvalidRequestError, MessageTooLargeError
from asyncbackends.object_model.values import json_text
from asyncbackends.protocols.messages import (
    ExchangeKind,
    Message,
    QueueOptions,
    SubscribeOptions,
)

__all__ = (
    "OWN_HEADERS",
    "Composer",
    "checked_headers",
    "checked_id",
    "checked_kind",
    "checked_name",
    "checked_options",
    "checked_routing_key",
    "json_body",
    "sorted_routing_keys",
)

OWN_HEADERS: Final = "ab-"
NO_HEADERS: Final[Mapping[str, str]] = {}
NAME = re.compile(r"[A-Za-z0-9_.:/@-]{1,200}")
HEADER = re.compile(r"[A-Za-z0-9_-]{1,128}")
# One line without blanks at its ends: what every broker's headers bring back unchanged.
HEADER_VALUE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff\u0085\u2028\u2029]*")
MESSAGE_ID = re.compile(r"[\x21-\x7e]{1,128}")

OptionsT = TypeVar("OptionsT", QueueOptions, SubscribeOptions)


class Composer:
    """Makes messages of one publisher."""

    def __init__(self, max_bytes: int, default_exchange: str | None) -> None:
        self._max_bytes = max_bytes
        self._default_exchange = default_exchange
        # Random for every publisher, counted for every message: unique, and cheaper than a UUID.
        self._prefix = token_hex(12)
        self._numbers = count(1)

    def message(
        self,
        message: Message,
        now: float,
        *,
        exchange: str | None,
        headers: Mapping[str, str] | None,
        message_id: str | None,
        expiration: float | None,
        correlation_id: str | None,
        reply_to: str | None,
        routing_key: str,
        mandatory: bool,
    ) -> tuple[OutgoingMessage, int]:
        """Give the message and its size in bytes.

        :param now: seconds since 1970 UTC.
        :raises InvalidRequestError: an argument breaks a rule.
        :raises MessageTooLargeError: body and headers are over the limit.
        """
        is_json = not isinstance(message, bytes)
        body = json_body(message) if not isinstance(message, bytes) else message
        size = len(body)
        if headers:
            headers = checked_headers(headers)
            size += sum(len(name) + len(text.encode()) for name, text in headers.items())
        if size > self._max_bytes:
            text = f"a message has at most {self._max_bytes} bytes with its headers, not {size}"
            raise MessageTooLargeError(text, size=size, limit=self._max_bytes)
        if message_id is None:
            message_id = f"{self._prefix}-{next(self._numbers)}"
        else:
            checked_id(message_id, "message_id")
        return (
            OutgoingMessage(
                self.exchange(exchange),
                checked_routing_key(routing_key),
                body,
                is_json,
                headers or NO_HEADERS,
                message_id,
                None if correlation_id is None else checked_id(correlation_id, "correlation_id"),
                None if reply_to is None else checked_id(reply_to, "reply_to"),
                now,
                None if expiration is None else now + checked_timeout(expiration, "expiration"),
                mandatory,
            ),
            size,
        )

    def exchange(self, exchange: str | None) -> str:
        """Give the exchange, or the default one.

        :raises InvalidRequestError: there is neither, or it is no name.
        """
        if exchange is None:
            exchange = self._default_exchange
            if exchange is None:
                text = "no exchange is given, and the option `exchange` is not set"
                raise InvalidRequestError(text)
        return checked_name(exchange, "an exchange")


def json_body(message: Mapping[str, Any]) -> bytes:
    """Give a mapping as JSON.

    :raises InvalidRequestError: it is no mapping, or has what JSON has not.
    """
    if type(message) is not dict:
        # Arguments are checked at run time too.
        if not isinstance(message, Mapping):
            text = f"a message is a mapping or bytes, not {type(message).__name__}"
            raise InvalidRequestError(text)
        message = dict(message)
    return json_text(message, "the message").encode()


@lru_cache(maxsize=4096)
def checked_name(name: str, what: str) -> str:
    """Give the name of an exchange or a queue.

    :raises InvalidRequestError: it is none.
    """
    if type(name) is not str or not NAME.fullmatch(name):
        text = (
            f"{what} has a name of 1 to 200 letters, digits and characters of `_ . - : / @`, "
            f"not {str(name)[:80]!r}"
        )
        raise InvalidRequestError(text)
    return name


@lru_cache(maxsize=4096)
def checked_routing_key(key: str) -> str:
    """Give a routing key; the empty one is one too.

    :raises InvalidRequestError: it is none.
    """
    if key != "" and (type(key) is not str or not NAME.fullmatch(key)):
        text = (
            f"a routing key is up to 200 letters, digits and characters of `_ . - : / @`, "
            f"not {str(key)[:80]!r}"
        )
        raise InvalidRequestError(text)
    return key


def sorted_routing_keys(keys: Sequence[str]) -> tuple[str, ...]:
    """Give routing keys once each.

    :raises InvalidRequestError: one is none, or they are one text.
    """
    if isinstance(keys, str):
        text = f"routing keys are a list, not the one key {keys!r}"
        raise InvalidRequestError(text)
    return tuple(sorted({checked_routing_key(key) for key in keys}))


def checked_kind(kind: ExchangeKind) -> ExchangeKind:
    """Give the kind of an exchange.

    :raises InvalidRequestError: it is none.
    """
    if kind not in get_args(ExchangeKind):
        text = f"an exchange is of kind {' or '.join(get_args(ExchangeKind))}, not {kind!r}"
        raise InvalidRequestError(text)
    return kind


def checked_options(options: OptionsT) -> OptionsT:
    """Give options whose values were checked, which making them does not.

    :raises InvalidRequestError: a value breaks a rule; the message names the option.
    """
    try:
        checked = msgspec.convert(msgspec.structs.asdict(options), type(options))
    except msgspec.ValidationError as error:
        text = f"{type(options).__name__}: {str(error).replace('`', '')}"
        raise InvalidRequestError(text) from None
    if isinstance(checked, QueueOptions) and checked.dead_letter is not None:
        checked_name(checked.dead_letter, "the dead_letter exchange")
    return checked


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Give headers as a dict of one's own.

    :raises InvalidRequestError: a name or value that some broker would not bring back unchanged.
    """
    if not isinstance(headers, Mapping):
        text = f"headers are a mapping of text by name, not {type(headers).__name__}"
        raise InvalidRequestError(text)
    lower: set[str] = set()
    for name, value in headers.items():
        if type(name) is not str or not HEADER.fullmatch(name):
            text = f"a header has a name of 1 to 128 letters, digits, `-` and `_`, not {name!r}"
            raise InvalidRequestError(text)
        if name.lower().startswith(OWN_HEADERS):
            text = f"headers that begin with {OWN_HEADERS!r} are the framework's own: {name!r}"
            raise InvalidRequestError(text)
        if name.lower() in lower:
            text = f"two headers are named {name!r} but for capital letters"
            raise InvalidRequestError(text)
        lower.add(name.lower())
        if type(value) is not str or not HEADER_VALUE.fullmatch(value) or value != value.strip():
            text = (
                f"the value of header {name!r} is one line of text without control characters "
                f"and without blanks at either end"
            )
            raise InvalidRequestError(text)
    return dict(headers)


def checked_id(text: str, what: str) -> str:
    """Give a correlation id or a reply address.

    :raises InvalidRequestError: it is not 1 to 128 printable characters.
    """
    if type(text) is not str or not MESSAGE_ID.fullmatch(text):
        message = f"{what} is 1 to 128 printable ASCII characters, not {str(text)[:80]!r}"
        raise InvalidRequestError(message)
    return text
