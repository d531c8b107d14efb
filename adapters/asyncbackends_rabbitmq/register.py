"""What AMQP does not tell: streams beside queues and exchanges, which say what those are.

A stream keeps what was written to it in order, and everybody reads it from its beginning: the
first record is the truth, whoever else wrote one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import Final

from pamqp import commands
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from asyncbackends.errors import (
    ConnectionFailedError,
    ConnectionLostError,
)
from asyncbackends.linking import FINAL
from asyncbackends_rabbitmq.asking import Questions
from asyncbackends_rabbitmq.channels import Channel, Silent
from asyncbackends_rabbitmq.contents import delivery_tag
from asyncbackends_rabbitmq.driver_errors import ChannelClosedError, lost
from asyncbackends_rabbitmq.frames import ack
from asyncbackends_rabbitmq.line import Line

__all__ = ("Register",)

STREAM: Final = {"x-queue-type": "stream"}
FIRST: Final = {"x-stream-offset": "first"}
AT_ONCE: Final = 100


class Register:
    """Writes and reads records.

    :param connect: opens a connection to write by, and no more: a broker that takes no messages
        stops reading from whoever sends it one, and with it all acks on that connection.
    """

    def __init__(self, questions: Questions, connect: Callable[[], Awaitable[Line]]) -> None:
        self._questions = questions
        self._connect = connect

    async def make(self, stream: str) -> None:
        """Make a stream if it is missing."""
        await self._questions.ask(
            commands.Queue.Declare(queue=stream, durable=True, arguments=dict(STREAM))
        )

    async def write(self, stream: str, record: bytes) -> None:
        """Write a record; when this returns, it is stored."""
        try:
            line = await self._connect()
        except FINAL:
            raise
        except ConnectionFailedError as error:
            raise lost(str(error)) from error
        try:
            traffic = _Confirms()
            channel = line.new_channel(traffic)
            await channel.ask(commands.Confirm.Select())
            channel.write(
                commands.Basic.Publish(routing_key=stream),
                ContentHeader(0, len(record), commands.Basic.Properties(delivery_mode=2)),
                ContentBody(record),
            )
            await _told(traffic.told, channel)
        finally:
            await line.close()

    async def first(self, stream: str) -> bytes | None:
        """Give the first record of a stream that has one; None where the stream is missing."""
        found: list[bytes] = []

        def take(record: bytes) -> bool:
            found.append(record)
            return True

        return found[0] if await self._read(stream, take) else None

    async def all(self, stream: str) -> list[bytes] | None:
        """Give all records; None where the stream is missing."""
        if not await self._questions.has_queue(stream):
            return None
        end = f"end {token_hex(8)}".encode()
        await self.write(stream, end)
        found: list[bytes] = []

        def take(record: bytes) -> bool:
            if record == end:
                return True
            if not record.startswith(b"end "):
                found.append(record)
            return False

        return found if await self._read(stream, take) else None

    async def _read(self, stream: str, take: Callable[[bytes], bool]) -> bool:
        """Read until that is enough; False: the stream is missing, or went meanwhile."""
        traffic = _Records(take)
        channel = self._questions.line.new_channel(traffic)
        traffic.channel = channel
        try:
            await channel.ask(
                commands.Basic.Qos(0, AT_ONCE, False),
                commands.Basic.Consume(queue=stream, consumer_tag="r", arguments=dict(FIRST)),
            )
            await _told(traffic.told, channel)
        except ChannelClosedError as error:
            if error.is_missing:
                return False
            raise
        finally:
            channel.close()
        return not traffic.gone

    async def drop(self, stream: str) -> None:
        """Take a stream away."""
        await self._questions.ask(commands.Queue.Delete(queue=stream))


class _Confirms(Silent):
    """Hears that the one message of a channel is stored."""

    def __init__(self) -> None:
        self.told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def confirmed(self, number: int, stored: bool, up_to: bool) -> None:
        if not self.told.done():
            self.told.set_result(stored)


class _Records(_Confirms):
    """Hears the records of a stream until it has enough."""

    def __init__(self, take: Callable[[bytes], bool]) -> None:
        super().__init__()
        self._take = take
        self.channel: Channel | None = None
        self.gone = False
        """The stream went away under it."""

    def cancelled(self) -> None:
        self.gone = True
        if not self.told.done():
            self.told.set_result(True)

    def message(self, method: bytes, header: bytes, body: bytes) -> None:
        if self.told.done() or self.channel is None:
            return
        if self._take(body):
            self.told.set_result(True)
        else:
            tag, _ = delivery_tag(method)
            self.channel.write_packed(ack(self.channel.number, tag, up_to=False))


async def _told(told: "asyncio.Future[bool]", channel: Channel) -> None:
    await asyncio.wait((told, channel.ended), return_when=asyncio.FIRST_COMPLETED)
    if not told.done():
        message = "the link to the message broker was lost"
        raise ConnectionLostError(message, maybe_applied=True)
    if not told.result():
        raise lost("the broker did not store a record")
