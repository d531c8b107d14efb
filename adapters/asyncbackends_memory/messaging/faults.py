"""Faults of the message broker on demand, so that users can test their own failure paths.

Every opener of the memory engine under one name passes the same switchboard::

    from asyncbackends_memory import broker_faults

    broker_faults("default").drop_connection()      # until restore_connection()
    broker_faults("default").lose_confirms(3)       # stored, but the publisher is not told
    broker_faults("default").restart()              # only what is durable is left
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from asyncbackends.broker.wire import Answer
from asyncbackends.clock import Clock, SystemClock
from asyncbackends.errors import BackendError, ConnectionFailedError, PublishRejectedError

__all__ = ("Broker", "BrokerFaults", "broker_faults")

DROPPED = "the connection was dropped by the switchboard"


class Broker(Protocol):
    """A server under the switchboard: one for each namespace that is open."""

    def lose_links(self, reason: str, *, publishing: bool, consuming: bool) -> None:
        """Break links of these sorts."""
        ...

    def block(self, reason: str | None) -> None:
        """Let publishing links take no messages, or again."""
        ...

    def answer(self) -> None:
        """Tell the answers that were held back."""
        ...

    def mute_publishing(self) -> None:
        """Let nothing arrive that is sent on the present publishing links."""
        ...

    def remake_queue(self, name: str) -> None:
        """Empty a queue, and cancel its consumers."""
        ...

    def lose_messages(self, name: str) -> None:
        """Lose what waits in a queue, and tell its consumers."""
        ...

    def delete_queue(self, name: str) -> None:
        """Take a queue away."""
        ...

    def delete_exchange(self, name: str) -> None:
        """Take an exchange away with its queues."""
        ...

    def restart(self, reason: str) -> None:
        """Break all links, and keep only what is durable."""
        ...


class BrokerFaults:
    """The switchboard of one name; it stands whether or not anybody has the name open.

    ``clock`` is what the broker and its clients of this name take the time from; it is read when
    the first one opens the name, and :meth:`clear` leaves it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.clock: Clock = SystemClock()
        self._brokers: list[Broker] = []
        self._connected = True
        self._failures: list[tuple[BackendError, str | None]] = []
        self._pause = 0.0
        self._blocked: str | None = None
        self._holds_confirms = False
        self._lost_confirms = 0
        self._refusals: deque[BackendError | None] = deque()
        self._closing: set[str] = set()
        self._lost_settles = 0
        self._drop_after: int | None = None

    # Links.

    def drop_connection(self) -> None:
        """Cut all links, and let none be dialed until :meth:`restore_connection`."""
        self._connected = False
        self._lose_links(publishing=True, consuming=True)

    def restore_connection(self) -> None:
        """Let links be dialed again."""
        self._connected = True

    def drop_publishing(self) -> None:
        """Cut the links for publishing, once."""
        self._lose_links(publishing=True, consuming=False)

    def drop_consuming(self) -> None:
        """Cut the links for consuming, once."""
        self._lose_links(publishing=False, consuming=True)

    def delay(self, seconds: float) -> None:
        """Let dialing and every declaration take so long before it has any effect."""
        self._pause = seconds

    def fail_next(
        self, error: BackendError, operation: str | None = None, *, times: int = 1
    ) -> None:
        """Refuse the next operations of that name, or any, with ``error``; nothing is applied.

        :param operation: ``open_publishing``, ``open_consuming``, ``server_info``,
            ``create_exchange``, ``delete_exchange``, ``declare_queue``, ``delete_queue`` or
            ``consume``.
        """
        self._failures += [(error, operation)] * times

    # Publishing.

    def lose_confirms(self, count: int) -> None:
        """Store the next messages, so many, and never confirm them."""
        self._lost_confirms += count

    def mute_publishing(self) -> None:
        """Lose whatever is sent on the present links for publishing, until they are cut."""
        for broker in self._brokers:
            broker.mute_publishing()

    def hold_confirms(self) -> None:
        """Store messages, and confirm them only after :meth:`release_confirms`."""
        self._holds_confirms = True

    def release_confirms(self) -> None:
        """Confirm what was held back on links that are still there."""
        self._holds_confirms = False
        for broker in self._brokers:
            broker.answer()

    def refuse_next(self, error: BackendError | None = None, times: int = 1) -> None:
        """Refuse the next messages, with PublishRejectedError or another error."""
        self._refusals.extend([error] * times)

    def block(self, reason: str = "the switchboard blocks publishers") -> None:
        """Take no messages until :meth:`unblock`, as a broker that is out of memory."""
        self._blocked = reason
        for broker in self._brokers:
            broker.block(reason)

    def unblock(self) -> None:
        """Take messages again, first those that were sent meanwhile."""
        if self._blocked is not None:
            self._blocked = None
            for broker in self._brokers:
                broker.block(None)

    def close_at(self, message_id: str) -> None:
        """Close the publishing link whenever that message comes, which is not stored.

        What was sent behind it on that link is not stored either, and what was stored ahead of it
        in the same turn is not confirmed.
        """
        self._closing.add(message_id)

    # Consuming.

    def drop_in_settle(self, after: int) -> None:
        """Cut the link of the next consumer that settles more at once, when so many are applied."""
        self._drop_after = after

    def lose_settles(self, count: int) -> None:
        """Lose the next answers of consumers, so many: the messages stay with their links."""
        self._lost_settles += count

    # The broker itself.

    def remake_queue(self, name: str) -> None:
        """Delete a queue and make it again: its messages are gone, its consumers cancelled."""
        for broker in self._brokers:
            broker.remake_queue(name)

    def lose_messages(self, name: str) -> None:
        """Lose what waits in a queue, which goes on: its consumers hear of a Gap."""
        for broker in self._brokers:
            broker.lose_messages(name)

    def delete_queue(self, name: str) -> None:
        """Delete a queue as a third party."""
        for broker in self._brokers:
            broker.delete_queue(name)

    def delete_exchange(self, name: str) -> None:
        """Delete an exchange as a third party."""
        for broker in self._brokers:
            broker.delete_exchange(name)

    def restart(self) -> None:
        """Kill the broker and start it again.

        All links are cut; exchanges and queues that are not durable are gone; the others keep
        their messages, in order, and the counts of their deliveries.
        """
        for broker in self._brokers:
            broker.restart("the broker was restarted by the switchboard")

    def clear(self) -> None:
        """End all faults."""
        self._failures.clear()
        self._pause = 0.0
        self._lost_confirms = 0
        self._refusals.clear()
        self._closing.clear()
        self._lost_settles = 0
        self._drop_after = None
        self.restore_connection()
        self.unblock()
        self.release_confirms()

    def _lose_links(self, *, publishing: bool, consuming: bool) -> None:
        for broker in self._brokers:
            broker.lose_links(DROPPED, publishing=publishing, consuming=consuming)

    # What the engine asks.

    def join(self, broker: Broker) -> None:
        """Let a server stand under the switchboard; engine-side."""
        self._brokers.append(broker)

    def leave(self, broker: Broker) -> None:
        """Take a server out again; engine-side."""
        if broker in self._brokers:
            self._brokers.remove(broker)

    @property
    def pause(self) -> float:
        """How long an operation takes, in seconds; engine-side."""
        return self._pause

    def refuse(self, operation: str) -> None:
        """Raise the error of an operation that is to fail; engine-side."""
        for index, (error, name) in enumerate(self._failures):
            if name in {None, operation}:
                del self._failures[index]
                raise error

    def dialed(self, operation: str) -> None:
        """Raise the error of a link that cannot be made; engine-side."""
        self.refuse(operation)
        if not self._connected:
            raise ConnectionFailedError(DROPPED)

    @property
    def blocked(self) -> str | None:
        """Why no messages are taken, None if they are; engine-side."""
        return self._blocked

    @property
    def holds_confirms(self) -> bool:
        """Whether confirms wait; engine-side."""
        return self._holds_confirms

    @property
    def disturbs_publishing(self) -> bool:
        """Whether messages have to be looked at one by one; engine-side."""
        return bool(
            self._lost_confirms or self._refusals or self._closing or self._blocked is not None
        )

    def closes_at(self, message_id: str) -> bool:
        """Say whether a message closes its link; engine-side."""
        return message_id in self._closing

    def refusal(self) -> BackendError | None:
        """Give the error of a message that is to be refused; engine-side."""
        if not self._refusals:
            return None
        error = self._refusals.popleft()
        if error is not None:
            return error
        return PublishRejectedError("the switchboard refused the message; it is not stored")

    def loses_confirm(self) -> bool:
        """Say whether a message that was stored is never confirmed; engine-side."""
        if self._lost_confirms == 0:
            return False
        self._lost_confirms -= 1
        return True

    @property
    def disturbs_settling(self) -> bool:
        """Whether answers may get lost; engine-side."""
        return self._lost_settles > 0 or self._drop_after is not None

    def settled(self, answers: Sequence[Answer]) -> tuple[Sequence[Answer], bool]:
        """Give the answers that arrive, and say whether the link is lost then; engine-side."""
        lost = min(self._lost_settles, len(answers))
        self._lost_settles -= lost
        answers = answers[lost:]
        after = self._drop_after
        if after is None or len(answers) <= after:
            return answers, False
        self._drop_after = None
        return answers[:after], True


_switchboards: dict[str, BrokerFaults] = {}


def broker_faults(name: str = "default") -> BrokerFaults:
    """Give the message broker's switchboard for an endpoint name of the memory engine."""
    return _switchboards.setdefault(name, BrokerFaults(name))
