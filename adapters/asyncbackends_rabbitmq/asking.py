"""Questions to the broker that no consumer is behind: declarations, and whether it is there."""

from typing import Any, Final

from pamqp import commands

from asyncbackends_rabbitmq.channels import Channel, Silent
from asyncbackends_rabbitmq.driver_errors import ChannelClosedError
from asyncbackends_rabbitmq.line import Line

__all__ = ("MOST_KEPT", "ExchangeDeclare", "ExchangeDelete", "Questions", "QueueBind")

MOST_KEPT: Final = 4


class ExchangeDeclare(commands.Exchange.Declare):
    """Not held to pamqp's 127 bytes for the name of an exchange: brokers take 255."""

    def validate(self) -> None:
        pass


class ExchangeDelete(commands.Exchange.Delete):
    """As :class:`ExchangeDeclare`."""

    def validate(self) -> None:
        pass


class QueueBind(commands.Queue.Bind):
    """As :class:`ExchangeDeclare`."""

    def validate(self) -> None:
        pass


class Questions:
    """Channels for one question at a time: one that was refused or left takes no other along."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._free: list[Channel] = []

    def channel(self) -> Channel:
        """Give a channel that nobody uses."""
        while self._free:
            channel = self._free.pop()
            if channel.is_idle:
                return channel
        return self.line.new_channel(Silent())

    def give_back(self, channel: Channel) -> None:
        """Keep a channel for the next question, or end it."""
        if channel.is_idle and len(self._free) < MOST_KEPT:
            self._free.append(channel)
        else:
            channel.close()

    async def ask(self, *questions: Any) -> Any:
        """Ask, and give the last answer.

        :raises ChannelClosedError: the broker refuses.
        :raises BackendError: the link is gone.
        """
        channel = self.channel()
        try:
            return await channel.ask(*questions)
        finally:
            self.give_back(channel)

    async def has_exchange(self, name: str) -> bool:
        """Say whether an exchange is there, by its name at the broker."""
        return await self._found(ExchangeDeclare(exchange=name, passive=True)) is not None

    async def has_queue(self, name: str) -> bool:
        """Say whether a queue is there, by its name at the broker."""
        return await self.messages_in(name) is not None

    async def messages_in(self, name: str) -> int | None:
        """Give how many messages wait in a queue; None where it is missing."""
        found = await self._found(commands.Queue.Declare(queue=name, passive=True))
        return None if found is None else found.message_count

    async def consumers_of(self, name: str) -> int:
        """Give how many consumers a queue has; 0 where it is missing."""
        found = await self._found(commands.Queue.Declare(queue=name, passive=True))
        return 0 if found is None else found.consumer_count

    async def _found(self, question: Any) -> Any:
        try:
            return await self.ask(question)
        except ChannelClosedError as error:
            if error.is_missing:
                return None
            raise
