"""What a broker holds, as far as anybody can know it from outside. Pure.

A message that waits may have been given to a consumer that was lost before it handed it out, which
counts as a delivery and which nobody sees: such counts have a lower and an upper bound.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from asyncbackends.protocols.messages import Death, DeathReason, QueueOptions

__all__ = ("ModelBroker", "ModelExchange", "ModelMessage", "ModelQueue", "Stored", "same_death")

UNKNOWN = 1_000_000
"""More than anything is delivered."""

Stored = Literal["stored", "rejected", "unroutable", "repeated", "missing"]


class ModelMessage(msgspec.Struct):
    """A message in one queue."""

    id: str
    number: int
    handed: int = 0
    """So often it was handed out."""
    unseen: int = 0
    """So often more it may have been delivered."""
    in_hand: bool = False
    """Somebody has it and has not settled it."""
    may_repeat: bool = False
    """It may be stored twice: an answer may have been lost on a broker without SERVER_DEDUPE."""
    death: tuple[DeathReason, str, str] | None = None
    """Why, with which text, and in which queue it died, of a dead letter."""


class ModelQueue:
    """Messages in order."""

    def __init__(
        self, name: str, exchange: str, options: QueueOptions, keys: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.exchange = exchange
        self.options = options
        self.keys = {*keys}
        self.messages: dict[str, ModelMessage] = {}
        self.done: dict[str, ModelMessage] = {}
        """What is acked or rejected."""

    def may_die(self, message: ModelMessage) -> bool:
        """Say whether the limit of deliveries may have been reached."""
        most = self.options.max_deliveries
        return most is not None and message.handed + message.unseen >= most

    def must_die(self, message: ModelMessage) -> bool:
        """Say whether it surely was."""
        most = self.options.max_deliveries
        return most is not None and message.handed >= most and not message.in_hand

    def sure(self) -> list[ModelMessage]:
        """Give the messages that wait and can only be delivered."""
        return [one for one in self.messages.values() if not one.in_hand and not self.may_die(one)]

    def possible(self) -> list[ModelMessage]:
        """Give the messages that may be delivered."""
        return [one for one in self.messages.values() if not one.in_hand and not self.must_die(one)]

    def come_back(self) -> None:
        """Return what is in hand, and note that what waits may have been delivered unseen."""
        for message in self.messages.values():
            if message.in_hand:
                message.in_hand = False
            else:
                message.unseen += 1

    def settle(self, message: ModelMessage) -> None:
        """Be done with a message."""
        del self.messages[message.id]
        self.done[message.id] = message


class ModelExchange:
    """Which queues take a message, and which ids it has seen."""

    def __init__(self, name: str, kind: Literal["fanout", "direct"]) -> None:
        self.name = name
        self.kind: Literal["fanout", "direct"] = kind
        self.seen: set[str] = set()


class ModelBroker:
    """Exchanges and queues."""

    def __init__(self, *, dedupes: bool) -> None:
        self.dedupes = dedupes
        self.exchanges: dict[str, ModelExchange] = {}
        self.queues: dict[str, ModelQueue] = {}
        self.deleted: dict[str, ModelMessage] = {}
        """What was in queues that were deleted and may have died there, by the id of its letter."""

    def queues_of(self, exchange: str) -> list[ModelQueue]:
        """Give the queues of an exchange."""
        return [queue for queue in self.queues.values() if queue.exchange == exchange]

    def takers(self, exchange: str, key: str) -> list[ModelQueue]:
        """Give the queues that take a message."""
        fanout = self.exchanges[exchange].kind == "fanout"
        return [queue for queue in self.queues_of(exchange) if fanout or key in queue.keys]

    def publish(self, exchange: str, message_id: str, number: int, key: str) -> Stored:
        """Store a message, and say what became of it."""
        found = self.exchanges.get(exchange)
        if found is None:
            return "missing"
        if self.dedupes and message_id in found.seen:
            return "repeated"
        takers = self.takers(exchange, key)
        if not takers:
            return "unroutable"
        for queue in takers:
            most, overflow = queue.options.max_length, queue.options.overflow
            if most is not None and overflow == "reject" and len(queue.messages) >= most:
                return "rejected"
        found.seen.add(message_id)
        for queue in takers:
            most = queue.options.max_length
            while most is not None and len(queue.messages) >= most:
                del queue.messages[next(iter(queue.messages))]
            queue.messages[message_id] = ModelMessage(message_id, number)
        return "stored"

    def delete_queue(self, name: str) -> None:
        """Forget a queue, but not who may have died in it."""
        queue = self.queues.pop(name, None)
        for message in () if queue is None else queue.messages.values():
            if queue is not None and queue.may_die(message):
                letter = ModelMessage(f"{message.id}:{name}", message.number)
                letter.death, letter.unseen = (DeathReason.DELIVERY_LIMIT, "", name), UNKNOWN
                self.deleted[letter.id] = letter

    def note(self, queue_name: str, message_id: str, word: str) -> None:
        """Settle a message by a word, as a consumer does."""
        queue = self.queues[queue_name]
        if (message := queue.messages.get(message_id)) is None:
            return  # its repetition was settled
        if word == "ack":
            queue.settle(message)
        elif word == "nack":
            message.in_hand = False
        else:
            self.bury(queue, message, DeathReason.REJECTED, word)

    def bury(
        self, queue: ModelQueue, message: ModelMessage, reason: DeathReason, text: str
    ) -> None:
        """Make a dead letter of a message."""
        queue.settle(message)
        graves = queue.options.dead_letter
        if graves is None or graves not in self.exchanges:
            return
        for grave in self.queues_of(graves):
            copy = ModelMessage(f"{message.id}:{queue.name}", message.number)
            copy.death = (reason, text, queue.name)
            # It is stored, then what died is acked: a link may be lost in between.
            copy.may_repeat = not self.dedupes
            if reason is DeathReason.DELIVERY_LIMIT:
                # It is not told when, so it may have been delivered unseen since.
                copy.unseen = UNKNOWN
            grave.messages[copy.id] = copy

    def find_dead(self, grave: ModelQueue, letter_id: str) -> None:
        """Bury the message whose dead letter came, if it may have reached its limit."""
        if letter_id in self.deleted:
            grave.messages[letter_id] = self.deleted.pop(letter_id)
            return
        message_id, _, queue_name = letter_id.rpartition(":")
        queue = self.queues.get(queue_name)
        message = None if queue is None else queue.messages.get(message_id)
        if queue is None or message is None or message.in_hand:
            return
        if queue.may_die(message):
            self.bury(queue, message, DeathReason.DELIVERY_LIMIT, "")


def same_death(found: Death | None, expected: tuple[DeathReason, str, str] | None) -> bool:
    """Say whether a dead letter tells what happened; what the core says of a limit is its own."""
    if found is None or expected is None:
        return found is None and expected is None
    reason, text, queue = expected
    return (found.reason, found.queue) == (reason, queue) and text in {"", found.text}
