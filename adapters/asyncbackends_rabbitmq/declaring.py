"""Exchanges and queues: how they are made, and held against what is there."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from pamqp import commands

from asyncbackends.broker.declaring import QueueRecord, conflict, missing_exchange
from asyncbackends.broker.wire import DeclaredQueue, QueueDeclaration
from asyncbackends.errors import BackendError, ConnectionLostError, DeclarationConflictError
from asyncbackends.protocols.messages import ExchangeKind, QueueOptions
from asyncbackends_rabbitmq.asking import ExchangeDeclare, ExchangeDelete, Questions, QueueBind
from asyncbackends_rabbitmq.driver_errors import (
    PRECONDITION_FAILED,
    ChannelClosedError,
    inequivalent,
    lost,
)
from asyncbackends_rabbitmq.line import Line
from asyncbackends_rabbitmq.names import Names
from asyncbackends_rabbitmq.queue_arguments import OPTIONS, Transience, arguments
from asyncbackends_rabbitmq.register import Register

__all__ = ("Declaring", "bindings", "create_exchange")

ALL: Final = "#"
"""No message of ours has this routing key: a fanout exchange passes all by it, a direct one none."""
PATIENCE: Final = 1.0
"""Seconds after which a record without its queue is taken for a leftover, and no record for none."""
READS: Final = 3
TRIES: Final = 5


async def create_exchange(
    questions: Questions, names: Names, name: str, *, durable: bool, kind: ExchangeKind
) -> None:
    """Make an exchange.

    :raises DeclarationConflictError: it is there with other properties.
    """
    try:
        await questions.ask(
            ExchangeDeclare(exchange=names.exchange(name), exchange_type=kind, durable=durable)
        )
    except ChannelClosedError as error:
        found = inequivalent(error.text)
        if error.code != PRECONDITION_FAILED or found is None:
            raise
        option, there = found
        if option == "type":
            raise conflict("exchange", name, "kind", kind, there) from error
        if option == "durable":
            raise conflict("exchange", name, option, durable, there == "true") from error
        raise conflict("exchange", name, option, None, there) from error


def bindings(names: Names, queue: QueueDeclaration) -> list[Any]:
    """Give the questions that bind a queue; one that is bound already stays so."""
    at, source = names.queue(queue.name), names.exchange(queue.exchange)
    return [
        QueueBind(queue=at, exchange=source, routing_key=key) for key in (ALL, *queue.routing_keys)
    ]


class _Making:
    """Whether one declaration has begun to make its queue."""

    begun = False


class Declaring:
    """The declarations of one consuming link."""

    def __init__(
        self,
        questions: Questions,
        names: Names,
        version: tuple[int, ...],
        transience: Transience,
        connect: Callable[[], Awaitable[Line]],
    ) -> None:
        self._questions = questions
        self._names = names
        self._version = version
        self._transience = transience
        self._register = Register(questions, connect)

    async def create_exchange(self, name: str, *, durable: bool, kind: ExchangeKind) -> None:
        """See :func:`create_exchange`."""
        await create_exchange(self._questions, self._names, name, durable=durable, kind=kind)

    async def delete_exchange(self, name: str) -> None:
        """Take an exchange away, and then its queues, which AMQP would leave."""
        await self._questions.ask(ExchangeDelete(exchange=self._names.exchange(name)))
        members = self._names.members(name)
        records = await self._register.all(members)
        if records is None:
            return
        for queue in dict.fromkeys(record.decode() for record in records):
            record = await self._record(queue)
            if record is not None and record.exchange == name:
                await self.delete_queue(queue)
        await self._register.drop(members)

    async def delete_queue(self, name: str) -> None:
        """Take a queue away, and then what tells of it."""
        record = await self._record(name)
        await self._questions.ask(commands.Queue.Delete(queue=self._names.queue(name)))
        await self._drop(name, record)

    async def _drop(self, queue: str, record: QueueRecord | None) -> None:
        """Take a record away, unless the queue was made again by it meanwhile."""
        await self._register.drop(self._names.register(queue))
        if record is not None and await self._questions.has_queue(self._names.queue(queue)):
            await self._write(queue, record)

    async def _write(self, queue: str, record: QueueRecord) -> None:
        stream = self._names.register(queue)
        await self._register.make(stream)
        await self._register.write(stream, record.encoded())

    async def declare_queue(self, queue: QueueDeclaration, *, must_match: bool) -> DeclaredQueue:
        """See :class:`asyncbackends.broker.wire.ConsumingLink`."""
        making = _Making()
        try:
            return await self._declare(queue, making, must_match=must_match)
        except ConnectionLostError as error:
            # Where nothing was to be made, nothing can be new.
            raise ConnectionLostError(str(error), maybe_applied=making.begun) from error

    async def _declare(
        self, queue: QueueDeclaration, making: "_Making", *, must_match: bool
    ) -> DeclaredQueue:
        await self._need_exchange(queue.exchange, f"; queue {queue.name!r} cannot be on it")
        grave = queue.options.dead_letter
        if must_match and grave is not None:
            await self._need_exchange(
                grave, f"; queue {queue.name!r} cannot send its dead letters there"
            )
        if queue.private_ttl is not None:
            found = await self._private(queue, making)
        else:
            found = await self._named(queue, making, must_match=must_match)
        for binding in bindings(self._names, queue):
            await self._questions.ask(binding)
        return found

    async def _need_exchange(self, name: str, then: str) -> None:
        if not await self._questions.has_exchange(self._names.exchange(name)):
            raise missing_exchange(name, then)

    async def _private(self, queue: QueueDeclaration, making: "_Making") -> DeclaredQueue:
        created = not await self._questions.has_queue(self._names.queue(queue.name))
        if created:
            making.begun = True
            await self._make(queue)
        return DeclaredQueue(queue.options, created)

    async def _named(
        self, queue: QueueDeclaration, making: "_Making", *, must_match: bool
    ) -> DeclaredQueue:
        at_broker = self._names.queue(queue.name)
        for _ in range(TRIES):
            if await self._questions.has_queue(at_broker):
                return await self._existing(queue, must_match=must_match)
            making.begun = True
            if await self._make_named(queue):
                return DeclaredQueue(queue.options, True)
        message = f"queue {queue.name!r} is made and deleted by others again and again"
        raise BackendError(message)

    async def _existing(self, queue: QueueDeclaration, *, must_match: bool) -> DeclaredQueue:
        record = await self._record(queue.name)
        if record is not None:
            record.check(queue, must_match=must_match)
            return DeclaredQueue(record.options, False)
        # Somebody else's: taken as it is, or as the broker finds it to be.
        if must_match:
            await self._make(queue)
        return DeclaredQueue(queue.options if must_match else QueueOptions(), False)

    async def _make_named(self, queue: QueueDeclaration) -> bool:
        """Make a queue with its record; False if somebody else makes it, or made it."""
        record, stream = QueueRecord.of(queue), self._names.register(queue.name)
        await self._register.make(stream)
        if not await self._questions.messages_in(stream):
            # There may be one all the same, which is not counted yet.
            await self._register.write(stream, record.encoded())
        found = await self._record(queue.name)
        if found != record:
            await asyncio.sleep(PATIENCE)
            if not await self._questions.has_queue(self._names.queue(queue.name)):
                await self._drop(queue.name, found)
            return False
        members = self._names.members(queue.exchange)
        await self._register.make(members)
        # Ahead of the queue: a name too many does no harm.
        await self._register.write(members, queue.name.encode())
        try:
            await self._make(queue)
        except DeclarationConflictError:
            return False
        found = await self._record(queue.name)
        if found is None:
            # It was taken for a leftover, or its queue was deleted, meanwhile.
            await self._write(queue.name, record)
            found = await self._record(queue.name)
        return found == record

    async def _record(self, queue: str) -> QueueRecord | None:
        """Give what is told of a queue; None where nobody tells, or only a broken record does.

        The record was written before the queue was made, so whoever finds no first one waits only
        for somebody who died in the middle, or for a broker that has just begun.

        :raises ConnectionLostError: there is one, and the broker does not give it.
        """
        stream = self._names.register(queue)
        for _ in range(READS):
            try:
                async with asyncio.timeout(PATIENCE):
                    return _decoded(await self._register.first(stream))
            except TimeoutError:
                # The broker counts late.
                if await self._questions.messages_in(stream):
                    raise lost(f"the broker does not serve {stream} yet") from None
        return None

    async def _make(self, queue: QueueDeclaration) -> None:
        question = commands.Queue.Declare(
            queue=self._names.queue(queue.name),
            durable=queue.options.durable or not self._transience.allowed,
            arguments=arguments(queue, self._version),
        )
        try:
            await self._questions.ask(question)
        except ChannelClosedError as error:
            found = inequivalent(error.text)
            if error.code != PRECONDITION_FAILED or found is None:
                raise
            option = OPTIONS.get(found[0], found[0])
            asked = getattr(queue.options, option, None)
            raise conflict("queue", queue.name, option, asked, found[1]) from error


def _decoded(record: bytes | None) -> QueueRecord | None:
    try:
        return None if record is None else QueueRecord.decoded(record)
    except msgspec.MsgspecError:
        return None
