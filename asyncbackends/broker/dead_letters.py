"""Expiry, delivery limits and dead letters: the same on every engine, because they are decided here.

Pure: messages and options in, decisions and messages out.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from secrets import token_hex
from typing import Final, Literal, TypeAlias

from asyncbackends.broker.wire import IncomingMessage, OutgoingMessage
from asyncbackends.protocols.messages import Death, DeathReason, QueueOptions

__all__ = ("Fate", "dead_letter", "death_of", "failure_text", "fate", "one_line")

Fate: TypeAlias = Literal["deliver", "expired", "over_limit"]

REASON: Final = "ab-death-reason"
TEXT: Final = "ab-death-text"
EXCHANGE: Final = "ab-death-exchange"
QUEUE: Final = "ab-death-queue"
COUNT: Final = "ab-death-count"
AT: Final = "ab-death-at"

MAX_TEXT: Final = 500
MAX_ID: Final = 255
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\u0085\u2028\u2029]+")


def fate(message: IncomingMessage, options: QueueOptions, now: float, clock_skew: float) -> Fate:
    """Say what becomes of a message that came.

    :param now: seconds since 1970 UTC.
    :param clock_skew: so much later than its expiry, in seconds, a message counts as expired.
    """
    if message.expires_at is not None and now > message.expires_at + clock_skew:
        return "expired"
    if (
        options.message_ttl is not None
        and message.timestamp is not None
        and now > message.timestamp + options.message_ttl + clock_skew
    ):
        return "expired"
    if options.max_deliveries is not None and message.delivery_count > options.max_deliveries:
        return "over_limit"
    return "deliver"


def dead_letter(
    message: IncomingMessage,
    exchange: str,
    queue_name: str,
    death: Death,
) -> OutgoingMessage:
    """Give the copy of a message that goes to a dead letter exchange.

    Its id is ``<id>:<queue>``, so that a second copy is known as one; a message without an id
    gets one, and of a long id, as of one that died in many queues, there is a digest.

    :param queue_name: also of a private queue, whose ``death.queue`` is None.
    """
    copy_id = f"{message.message_id or token_hex(16)}:{queue_name}"
    if len(copy_id) > MAX_ID:
        copy_id = f"{sha256(copy_id.encode()).hexdigest()[:32]}:{queue_name}"
    headers = {
        **message.headers,
        REASON: death.reason.value,
        TEXT: one_line(death.text),
        EXCHANGE: death.exchange,
        COUNT: str(death.delivery_count),
        AT: death.at.isoformat(),
    }
    headers.pop(QUEUE, None)
    if death.queue is not None:
        headers[QUEUE] = death.queue
    return OutgoingMessage(
        exchange=exchange,
        routing_key=message.routing_key,
        body=message.body,
        is_json=False,
        headers=headers,
        message_id=copy_id,
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        timestamp=death.at.timestamp(),
        expires_at=None,
        mandatory=False,
    )


def death_of(headers: Mapping[str, str]) -> Death | None:
    """Read a death from headers; None where there is none, or not a whole one."""
    if REASON not in headers:
        return None
    try:
        return Death(
            reason=DeathReason(headers[REASON]),
            text=headers.get(TEXT, ""),
            exchange=headers[EXCHANGE],
            queue=headers.get(QUEUE),
            delivery_count=int(headers[COUNT]),
            at=datetime.fromisoformat(headers[AT]).astimezone(UTC),
        )
    except (KeyError, ValueError):
        return None


def failure_text(error: BaseException) -> str:
    """Give an exception as one line."""
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def one_line(text: str, longest: int = MAX_TEXT) -> str:
    """Give a text as a header takes it."""
    return UNPRINTABLE.sub(" ", text)[:longest].strip()
