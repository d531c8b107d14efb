"""Where histories happen: exchanges, queues, keys, and what is said to a delivery."""

from collections.abc import Mapping

from hypothesis import strategies as st

from asyncbackends.errors import (
    BackendError,
    ExchangeNotFoundError,
    PublishRejectedError,
    UnroutableError,
)
from asyncbackends.protocols.messages import QueueOptions
from asyncbackends.testing.message_broker_machine.model import Stored

__all__ = (
    "CRYPT",
    "DIRECT",
    "ERRORS",
    "FANOUT",
    "GRAVES",
    "KEYS",
    "QUEUES",
    "SHORT",
    "WORDS",
)

FANOUT, DIRECT, SHORT, GRAVES = "fanout", "direct", "short", "graves"
CRYPT = "crypt"
# By name the exchange and the options; what is limited in length is alone on its exchange.
QUEUES: Mapping[str, tuple[str, QueueOptions]] = {
    "plain": (FANOUT, QueueOptions()),
    "other": (FANOUT, QueueOptions()),
    "mortal": (FANOUT, QueueOptions(max_deliveries=2, dead_letter=GRAVES)),
    "dying": (FANOUT, QueueOptions(dead_letter=GRAVES)),
    "keyed": (DIRECT, QueueOptions()),
    "keyed-too": (DIRECT, QueueOptions(dead_letter=GRAVES)),
    "rejecting": (SHORT, QueueOptions(max_length=3, queue_type="classic")),
    "dropping": (SHORT, QueueOptions(max_length=3, overflow="drop_oldest")),
}
KEYS = ("a", "b")
WORDS = st.sampled_from(["ack", "ack", "nack", "nack", "nack", "not wanted"])
ERRORS: Mapping[Stored, type[BackendError] | None] = {
    "stored": None,
    "repeated": None,
    "rejected": PublishRejectedError,
    "missing": ExchangeNotFoundError,
    "unroutable": UnroutableError,
}
