"""What a queue is declared with. Pure."""

from typing import Any, Final

from asyncbackends.broker.wire import QueueDeclaration
from asyncbackends_rabbitmq.frames import MOST_SECONDS

__all__ = ("OPTIONS", "Transience", "arguments", "is_quorum")

UNLIMITED_SINCE: Final = (4, 0)
"""Versions before take a delivery limit of -1 for none left."""

OPTIONS: Final = {
    "durable": "durable",
    "x-queue-type": "queue_type",
    "x-max-length": "max_length",
    "x-overflow": "overflow",
    "x-message-ttl": "message_ttl",
}
"""Our name of an argument that differs."""


class Transience:
    """Whether the broker takes queues that are not durable, for all links of one wire.

    Where its operator forbids them it ends the connection of whoever declares one; a durable one
    keeps more than was asked for.
    """

    REFUSED: Final = "transient_nonexcl_queues"
    allowed = True

    def heard(self, text: str) -> None:
        """Learn from the reason for which a connection was ended."""
        if self.REFUSED in text:
            self.allowed = False


def is_quorum(queue: QueueDeclaration) -> bool:
    """Say whether it becomes a quorum queue, which is always durable and counts deliveries."""
    options = queue.options
    return options.queue_type == "quorum" and options.durable and queue.private_ttl is None


def arguments(queue: QueueDeclaration, version: tuple[int, ...]) -> dict[str, Any]:
    """Give the arguments that a queue is declared with."""
    options = queue.options
    quorum = is_quorum(queue)
    found: dict[str, Any] = {"x-queue-type": "quorum" if quorum else "classic"}
    if queue.private_ttl is not None:
        found["x-expires"] = max(1, round(queue.private_ttl * 1000))
    if quorum and version >= UNLIMITED_SINCE:
        found["x-delivery-limit"] = -1
    if options.max_length is not None:
        found["x-max-length"] = options.max_length
        found["x-overflow"] = "reject-publish" if options.overflow == "reject" else "drop-head"
    if options.message_ttl is not None and options.message_ttl <= MOST_SECONDS:
        found["x-message-ttl"] = max(1, round(options.message_ttl * 1000))
    return found
