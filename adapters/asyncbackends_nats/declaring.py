"""A queue is a consumer on its exchange's stream; the register says what it was declared as."""

import asyncio
from secrets import token_hex
from typing import Any, Final, NamedTuple

from asyncbackends.broker.declaring import QueueRecord, missing_exchange
from asyncbackends.broker.wire import DeclaredQueue, QueueDeclaration
from asyncbackends.errors import DeclarationConflictError, NotSupportedError
from asyncbackends.protocols.messages import ExchangeKind
from asyncbackends_nats.driver_errors import (
    NO_STREAM,
    OTHER_CONSUMER,
    JetStreamError,
)
from asyncbackends_nats.exchanges import Exchanges
from asyncbackends_nats.memory import Memory
from asyncbackends_nats.names import short, token
from asyncbackends_nats.pulls import NANO
from asyncbackends_nats.queues import MAKER, QUEUE, RECORD, Queues, metadata_of
from asyncbackends_nats.register import Register
from asyncbackends_nats.requests import Requests

__all__ = ("Declaring", "Found")

MOST_MAKERS: Final = 10_000
PAUSE: Final = 0.05
"""Seconds before a record is read again that somebody else is writing."""
WAITING: Final = 8192
"""Pulls that wait at most, of all subscribers together."""


class Found(NamedTuple):
    """A queue as the server has it."""

    exchange: str
    kind: ExchangeKind
    stream: str
    name: str
    """The consumer's."""
    is_private: bool
    info: dict[str, Any]


class Declaring:
    """Makes queues, or finds them made."""

    def __init__(
        self,
        requests: Requests,
        exchanges: Exchanges,
        register: Register,
        memory: Memory,
    ) -> None:
        self._memory = memory
        self._requests = requests
        self._exchanges = exchanges
        self._names = exchanges.names
        self._register = register
        self._queues = Queues(requests)

    async def declare(
        self, queue: QueueDeclaration, *, must_match: bool
    ) -> tuple[DeclaredQueue, Found]:
        """See :meth:`asyncbackends.broker.wire.ConsumingLink.declare_queue`."""
        options, name = queue.options, queue.name
        if must_match and options.max_length is not None:
            message = "a NATS stream keeps what any of its queues needs: it cannot bound one queue"
            raise NotSupportedError(message, feature="max_length")
        kind = await self._exchanges.kind(queue.exchange, f"; queue {name!r} cannot be on it")
        if must_match and options.dead_letter is not None:
            then = f"; queue {name!r} cannot send its dead letters there"
            await self._exchanges.kind(options.dead_letter, then)
        if queue.private_ttl is not None:
            config = self._config(queue, kind, queue.options.durable, set(queue.routing_keys))
            config["inactive_threshold"] = round(queue.private_ttl * NANO)
            info, created = await self._make(queue, config, None)
            return DeclaredQueue(options, created), self._found(queue, kind, info)
        while True:
            sequence, record = await self._recorded(queue, must_match=must_match)
            keys: set[str] = set()
            if kind == "direct":
                await self._register.bind(name, queue.routing_keys)
                keys = await self._register.keys(name)
            config = self._config(queue, kind, record.options.durable, keys)
            info, created = await self._make(queue, config, sequence)
            info = await self._brought_up(queue, kind, info, keys)
            if created:
                # Somebody may have taken the record for a leftover before the consumer was there.
                now = await self._register.read(name)
                if now is None or now.sequence != sequence:
                    continue
            return DeclaredQueue(record.options, created), self._found(queue, kind, info)

    def _found(self, queue: QueueDeclaration, kind: ExchangeKind, info: dict[str, Any]) -> Found:
        is_private = queue.private_ttl is not None
        stream = self._names.stream(queue.exchange)
        return Found(queue.exchange, kind, stream, short(token(queue.name)), is_private, info)

    async def _recorded(
        self, queue: QueueDeclaration, *, must_match: bool
    ) -> tuple[int, QueueRecord]:
        """Give the queue's record, the first one to be written."""
        wanted = QueueRecord.of(queue)
        while True:
            found = await self._register.read(queue.name)
            if found is None:
                last = 0
            elif found.deletes is not None:
                last, stream = found.sequence, self._names.stream(found.record.exchange)
                # Whoever deletes it may be no more, and its stream would keep all for it.
                await self._queues.delete_recorded(stream, short(token(queue.name)), found.deletes)
            else:
                last, stream = found.sequence, self._names.stream(found.record.exchange)
                try:
                    found.record.check(queue, must_match=must_match)
                except DeclarationConflictError:
                    if await self._queues.find(stream, short(token(queue.name))) is not None:
                        raise
                    # A leftover: its queue went without us.
                else:
                    return found.sequence, found.record
            written = await self._register.write(queue.name, wanted, last)
            if written is not None:
                return written, wanted
            # With replicas the other one's record may not be there to be read yet.
            await asyncio.sleep(PAUSE)

    def _config(
        self, queue: QueueDeclaration, kind: ExchangeKind, durable: bool, keys: set[str]
    ) -> dict[str, Any]:
        config: dict[str, Any] = {
            "name": short(token(queue.name)),
            "durable_name": short(token(queue.name)),
            "deliver_policy": "new",
            "ack_policy": "explicit",
            "ack_wait": round(queue.ack_wait * NANO),
            "max_deliver": -1,
            "max_ack_pending": -1,
            "max_waiting": WAITING,
            "replay_policy": "instant",
            "mem_storage": not durable,
            "metadata": {},
        }
        if kind == "direct":
            config["filter_subjects"] = self._filters(queue.exchange, keys)
        return config

    def _filters(self, exchange: str, keys: set[str]) -> list[str]:
        subjects = sorted(self._names.subject(exchange, key) for key in keys)
        return subjects or [self._names.nothing(exchange)]

    async def _make(
        self, queue: QueueDeclaration, config: dict[str, Any], sequence: int | None
    ) -> tuple[dict[str, Any], bool]:
        """Make the consumer, or find the one of the same record."""
        stream, name = self._names.stream(queue.exchange), short(token(queue.name))
        maker = token_hex(8)
        config["metadata"] = {MAKER: maker, QUEUE: queue.name}
        if sequence is not None:
            config["metadata"][RECORD] = str(sequence)
        asked = {"stream_name": stream, "config": config, "action": "create"}
        while True:
            found = await self._queues.find(stream, name)
            if found is None:
                made = await self._ordered(queue, stream, name, maker, asked)
                if made is not None:
                    return made, True
                continue
            metadata = metadata_of(found)
            if sequence is None or metadata.get(RECORD) in {None, str(sequence)}:
                created = metadata.get(MAKER) in self._memory.makers
                self._memory.makers.discard(metadata.get(MAKER, ""))
                return found, created
            # Of a queue whose record is gone: that one was deleted.
            await self._queues.delete(stream, name)

    async def _ordered(
        self, queue: QueueDeclaration, stream: str, name: str, maker: str, asked: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Make a consumer, or give None where somebody else was first."""
        makers = self._memory.makers
        if len(makers) > MOST_MAKERS:
            makers.clear()
        makers.add(maker)
        try:
            made = await self._requests.api(f"CONSUMER.CREATE.{stream}.{name}", asked)
        except JetStreamError as error:
            makers.discard(maker)
            if error.err_code == NO_STREAM:
                then = f"; queue {queue.name!r} cannot be on it"
                raise missing_exchange(queue.exchange, then) from error
            if error.err_code not in OTHER_CONSUMER:
                raise
            return None
        makers.discard(maker)
        return made

    async def _brought_up(
        self, queue: QueueDeclaration, kind: ExchangeKind, info: dict[str, Any], keys: set[str]
    ) -> dict[str, Any]:
        """Bind a consumer with all keys, and let it wait for acks no longer than is asked for."""
        while True:
            config: dict[str, Any] = dict(info["config"])
            wait = round(queue.ack_wait * NANO)
            there = set(config.get("filter_subjects") or [config.get("filter_subject") or ""])
            wanted = {self._names.subject(queue.exchange, key) for key in keys}
            # One without filters takes all, and what is bound stays so.
            is_bound = kind != "direct" or "" in there or wanted <= there
            if is_bound and config["ack_wait"] <= wait:
                return info
            is_shorter = wait < config["ack_wait"]
            config["ack_wait"] = min(wait, config["ack_wait"])
            if not is_bound:
                config.pop("filter_subject", None)
                filters = (there | wanted) - {self._names.nothing(queue.exchange)}
                config["filter_subjects"] = sorted(filters)
            stream, name = self._names.stream(queue.exchange), short(token(queue.name))
            asked = {"stream_name": stream, "config": config, "action": "update"}
            if is_shorter:
                self._tell_others(queue.name, wait)
            info = await self._requests.api(f"CONSUMER.CREATE.{stream}.{name}", asked)
            if is_shorter:
                # Those too that have begun meanwhile.
                self._tell_others(queue.name, wait)
            if kind == "direct":
                # Another one may have bound more meanwhile, and this one have undone it.
                keys = await self._register.keys(queue.name)

    def _tell_others(self, queue: str, wait: int) -> None:
        """Tell those who consume a queue to keep alive what they have for a shorter wait for acks."""
        self._requests.ask_for(self._names.presence(queue), b"%d" % wait, lambda _: None)
