"""Whether the exchanges of consumed queues are still there, which nothing else tells.

Each exchange is asked for every two seconds. Each queue is bound again now and then, which changes
nothing as long as all is well, and mends a binding that went with an exchange that is there again.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Any, Final

from asyncbackends.broker.wire import QueueDeclaration
from asyncbackends.errors import BackendError, ExchangeNotFoundError
from asyncbackends_rabbitmq.asking import ExchangeDeclare
from asyncbackends_rabbitmq.channels import Channel, Silent
from asyncbackends_rabbitmq.consumers import RabbitMqConsumer
from asyncbackends_rabbitmq.declaring import bindings
from asyncbackends_rabbitmq.driver_errors import ChannelClosedError, missing
from asyncbackends_rabbitmq.line import Line
from asyncbackends_rabbitmq.names import Names

__all__ = ("BindingWatch",)

INTERVAL: Final = 2.0
MENDING: Final = 15
"""Of so many looks one binds: that is a write at the broker, and many clients would do it."""

Consumed = tuple[QueueDeclaration, RabbitMqConsumer]


class BindingWatch(Silent):
    """Looks on one link, from its beginning to its end."""

    def __init__(
        self, line: Line, names: Names, consumed: Callable[[], Iterable[Consumed]]
    ) -> None:
        self._line = line
        self._names = names
        self._consumed = consumed
        self._channel: Channel | None = None
        self._looks = random.randrange(MENDING)  # noqa: S311  # spreads load, hides nothing
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(INTERVAL, self._look)

    def _look(self) -> None:
        self._timer = self._loop.call_later(INTERVAL, self._look)
        self._looks += 1
        queues = {queue.name: queue for queue, _ in self._consumed()}.values()
        questions: list[Any]
        if self._looks % MENDING == 0:
            questions = [one for queue in queues for one in bindings(self._names, queue)]
        else:
            names = {self._names.exchange(queue.exchange) for queue in queues}
            questions = [ExchangeDeclare(exchange=name, passive=True) for name in names]
        if not questions:
            return
        if self._channel is None:
            try:
                self._channel = self._line.new_channel(self)
            except BackendError:
                return
        if self._channel.is_idle:
            _ = self._channel.post(*questions)

    def closed(self, error: ChannelClosedError) -> None:
        self._channel = None
        if error.is_early:
            return
        if not error.is_missing:
            # Without the right to bind it cannot look, and need not.
            self.stop()
            return
        kind, name = missing(error, self._names)
        if kind is ExchangeNotFoundError:
            for queue, consumer in tuple(self._consumed()):
                if queue.exchange == name:
                    # What was published since then is lost to it.
                    consumer.tell_cancelled(queue_gone=True)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
