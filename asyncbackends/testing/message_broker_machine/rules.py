"""The rules of the state machine: each does the same to the broker and to the model."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from asyncbackends.broker.delivery import Delivery
from asyncbackends.errors import (
    DeclarationConflictError,
    ExchangeNotFoundError,
    NotSupportedError,
)
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.messages import DeathReason, QueueOptions
from asyncbackends.testing.message_broker.link_faults import LinkFaults
from asyncbackends.testing.message_broker_machine.clients import Clients, Held, Reader
from asyncbackends.testing.message_broker_machine.model import (
    ModelBroker,
    ModelExchange,
    ModelMessage,
    ModelQueue,
    same_death,
)
from asyncbackends.testing.message_broker_machine.places import (
    CRYPT,
    DIRECT,
    ERRORS,
    FANOUT,
    GRAVES,
    KEYS,
    QUEUES,
    SHORT,
    WORDS,
)

__all__ = ("MessageBrokerMachine",)


class MessageBrokerMachine(RuleBasedStateMachine):
    """Random operations on a broker; whatever the model does not know is an error.

    :param faults: gives the hand that breaks links; without one no link is broken.
    :param patience: the seconds after which what should come counts as lost.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        faults: Callable[[Mapping[str, Any]], LinkFaults] | None = None,
        patience: float = 10.0,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._make_faults = faults
        self._patience = patience
        self._clients: Clients | None = None
        self._number = 0
        self._readers: list[Reader] = []
        self.model = ModelBroker(dedupes=False)

    @property
    def clients(self) -> Clients:
        """The open clients."""
        assert self._clients is not None
        return self._clients

    @initialize()
    def open(self) -> None:
        """Open both clients, and make the exchanges and the place for dead letters."""
        faults = None if self._make_faults is None else self._make_faults(self._settings)
        self._clients = clients = Clients(self._settings, faults, self._patience)
        self.guarantees = clients.publisher.guarantees
        self.model = ModelBroker(dedupes=Guarantee.SERVER_DEDUPE in self.guarantees)
        for name in (FANOUT, DIRECT, SHORT, GRAVES):
            self.make_exchange(name)
        self.make_queue(CRYPT, GRAVES, QueueOptions())
        for name in ("plain", "mortal", "dying", "keyed"):
            self.make_queue(name, *QUEUES[name])
        for name, prefetch in (("mortal", 2), ("dying", 3)):
            self.begin(name, prefetch)

    def make_exchange(self, name: str) -> None:
        """Make an exchange in both."""
        routing = Guarantee.DIRECT_ROUTING in self.guarantees
        kind: Any = "direct" if name == DIRECT and routing else "fanout"
        self.clients.run(self.clients.publisher.create_exchange(name, kind=kind))
        self.model.exchanges.setdefault(name, ModelExchange(name, kind))

    def make_queue(self, name: str, exchange: str, options: QueueOptions) -> None:
        """Make a queue in both, or see it refused as the model says."""
        direct = exchange in self.model.exchanges and (
            self.model.exchanges[exchange].kind == "direct"
        )
        keys = KEYS[: 1 + (name == "keyed-too")] if direct else ()
        call = self.clients.publisher.create_queue(
            exchange, name, options=options, routing_keys=keys
        )
        error = self.clients.run(self.clients.error_of(call))
        found = self.model.queues.get(name)
        bounded = Guarantee.BOUNDED_QUEUES in self.guarantees
        if options.max_length is not None and not bounded:
            assert isinstance(error, NotSupportedError), error
        elif exchange not in self.model.exchanges:
            assert isinstance(error, ExchangeNotFoundError), error
        elif found is not None and found.options != options:
            assert isinstance(error, DeclarationConflictError), error
        else:
            assert error is None, error
            if found is None:
                self.model.queues[name] = ModelQueue(name, exchange, options, keys)

    def teardown(self) -> None:
        """Take everything that the model knows, and nothing more."""
        if self._clients is None:
            return
        try:
            for reader in [*self._readers]:
                self.leave(reader)
            graves = self.subscribed(CRYPT)
            for name in [name for name in self.model.queues if name != CRYPT]:
                self.drain(self.subscribed(name), graves)
            self.drain(graves, graves)
        finally:
            self._clients.close()

    # Declaring.

    @rule(name=st.sampled_from(list(QUEUES)))
    def create(self, name: str) -> None:
        exchange, options = QUEUES[name]
        self.make_exchange(exchange)
        alone = {"rejecting": "dropping", "dropping": "rejecting"}.get(name)
        if alone not in self.model.queues:
            self.make_queue(name, exchange, options)

    @rule(name=st.sampled_from([*QUEUES, DIRECT, SHORT]))
    def delete(self, name: str) -> None:
        if name in QUEUES:
            self.delete_queue(name)
        else:
            self.delete_exchange(name)

    def delete_exchange(self, name: str) -> None:
        """Delete an exchange that nobody consumes from."""
        queues = [queue.name for queue in self.model.queues_of(name)]
        if any(reader.queue in queues for reader in self._readers):
            return
        self.clients.run(self.clients.publisher.delete_exchange(name))
        self.model.exchanges.pop(name, None)
        for queue in queues:
            self.model.delete_queue(queue)

    def delete_queue(self, name: str) -> None:
        """Delete a queue, also under subscriptions, which make it again and tell of it."""
        readers = [reader for reader in self._readers if reader.queue == name]
        self.clients.run(self.clients.publisher.delete_queue(name))
        found = self.model.queues.get(name)
        self.model.delete_queue(name)
        if found is not None and readers:
            self.model.queues[name] = ModelQueue(name, found.exchange, QueueOptions())
            for reader in readers:
                self.clients.run(self.clients.gap(reader))

    # Publishing.

    def next_message(self) -> tuple[int, str]:
        """Give a number, and an id that says it."""
        self._number += 1
        return self._number, f"m{self._number}"

    def is_uncertain(self, exchange: str) -> bool:
        """Say whether a queue of limited length has consumers: then nobody knows what waits."""
        return any(
            queue.options.max_length is not None and reader.queue == queue.name
            for queue in self.model.queues_of(exchange)
            for reader in self._readers
        )

    @rule(
        exchange=st.sampled_from([FANOUT, FANOUT, DIRECT, SHORT]),
        key=st.sampled_from([*KEYS, "c"]),
        mandatory=st.booleans(),
    )
    def publish(self, exchange: str, key: str, mandatory: bool) -> None:
        if self.is_uncertain(exchange):
            return
        number, message_id = self.next_message()
        stored = self.model.publish(exchange, message_id, number, key)
        call = self.clients.publisher.publish(
            {"n": number},
            exchange=exchange,
            message_id=message_id,
            routing_key=key,
            mandatory=mandatory,
        )
        error = self.clients.run(self.clients.error_of(call))
        if stored == "unroutable" and not (
            mandatory and Guarantee.MANDATORY_EXACT in self.guarantees
        ):
            assert error is None or mandatory, error
            return
        expected = ERRORS[stored]
        assert type(error) is (type(None) if expected is None else expected), (stored, error)

    @rule(data=st.data())
    def publish_again(self, data: st.DataObject) -> None:
        """An id that is stored already."""
        exchange = self.model.exchanges[FANOUT]
        if self.model.dedupes and exchange.seen:
            message_id = data.draw(st.sampled_from(sorted(exchange.seen)))
            publish = self.clients.publisher.publish
            self.clients.run(publish({"n": -1}, exchange=FANOUT, message_id=message_id))

    @rule(count=st.integers(1, 12), cut=st.sampled_from(["none", "muted", "held", "cut"]))
    def burst(self, count: int, cut: str) -> None:
        """Side by side, and the link lost in the middle of it."""
        broker, faults = self.clients.publisher, self.clients.faults
        sent: list[str] = []

        async def publish() -> None:
            for step in range(count):
                number, message_id = self.next_message()
                _ = broker.publish_nowait({"n": number}, exchange=FANOUT, message_id=message_id)
                self.model.publish(FANOUT, message_id, number, "")
                sent.append(message_id)
                if faults is None or step != count // 2:
                    continue
                if cut == "muted":
                    faults.mute_publishing()
                elif cut == "held":
                    faults.hold_confirms()
                await self.clients.harness.sleep(0)
            if faults is not None and cut != "none":
                faults.drop_publishing()
                faults.release_confirms()
            await broker.flush()

        self.clients.run(publish())
        if cut != "none" and not self.model.dedupes:
            for queue in self.model.queues_of(FANOUT):
                for message_id in sent:
                    queue.messages[message_id].may_repeat = True

    # Consuming.

    @precondition(lambda self: len(self._readers) < 4)
    @rule(data=st.data(), prefetch=st.integers(1, 4))
    def subscribe(self, data: st.DataObject, prefetch: int) -> None:
        self.begin(data.draw(st.sampled_from(sorted(self.model.queues))), prefetch)

    def begin(self, name: str, prefetch: int) -> None:
        """Begin to consume a queue."""
        self._readers.append(self.subscribed(name, prefetch))

    def subscribed(self, name: str, prefetch: int = 100) -> Reader:
        """Give a subscription of a queue."""
        exchange = self.model.queues[name].exchange
        reader: Reader = self.clients.run(self.clients.subscribe(exchange, name, prefetch))
        return reader

    @precondition(lambda self: self._readers)
    @rule(data=st.data())
    def unsubscribe(self, data: st.DataObject) -> None:
        self.leave(data.draw(st.sampled_from(self._readers)))

    def leave(self, reader: Reader) -> None:
        """End a subscription in both."""
        queue = self.model.queues[reader.queue]
        for one in reader.held:
            message = queue.messages.get(str(one.delivery.message_id))
            if message is not None and one.is_open:
                message.in_hand = False
        for message in queue.messages.values():
            message.unseen += not message.in_hand
        self.clients.run(self.clients.leave(reader))
        self._readers.remove(reader)

    @precondition(lambda self: self._readers)
    @rule(data=st.data(), count=st.integers(1, 4))
    def receive(self, data: st.DataObject, count: int) -> None:
        reader = data.draw(st.sampled_from(self._readers))
        while count and self.receive_one(reader) is not None:
            count -= 1

    @precondition(lambda self: self._readers)
    @rule(data=st.data(), words=st.lists(WORDS, min_size=1, max_size=6))
    def handle(self, data: st.DataObject, words: list[str]) -> None:
        """Receive and settle, one after the other."""
        reader = data.draw(st.sampled_from(self._readers))
        for word in words:
            if (held := self.receive_one(reader)) is None:
                return
            self.clients.run(self.clients.answer(held, word))
            self.model.note(reader.queue, str(held.delivery.message_id), word)

    def receive_one(self, reader: Reader) -> Held | None:
        """Take the next delivery of a subscription, if there is one."""
        queue = self.model.queues[reader.queue]
        rivals = [one for one in self._readers if one.queue == reader.queue and one is not reader]
        surely = bool(queue.sure()) and not rivals and reader.room() > 0
        delivery = self.clients.run(self.clients.next(reader, surely=surely))
        if delivery is None:
            assert not surely, f"{reader.queue} has {queue.sure()}, and nothing came"
            return None
        self.expect(reader, queue, delivery)
        reader.held.append(Held(delivery))
        return reader.held[-1]

    def expect(self, reader: Reader, queue: ModelQueue, delivery: Delivery) -> ModelMessage:
        """Hold a delivery against what the model knows."""
        message_id = str(delivery.message_id)
        assert reader.room() > 0, f"{delivery!r} is more than the prefetch of {reader.prefetch}"
        if message_id not in queue.messages and queue.name == CRYPT:
            self.model.find_dead(queue, message_id)
        message = queue.messages.get(message_id)
        if message is None and message_id in queue.done and queue.done[message_id].may_repeat:
            message = queue.messages[message_id] = queue.done[message_id]
        assert message is not None, f"{delivery!r} is not in {queue.name}: {[*queue.messages]}"
        assert message.may_repeat or message in queue.possible(), f"{delivery!r}, {message}"
        assert delivery["n"] == message.number
        assert same_death(delivery.death, message.death), (delivery.death, message)
        message.handed += 1
        message.in_hand = True
        assert delivery.delivery_count >= 1
        if Guarantee.EXACT_DELIVERY_COUNT in self.guarantees:
            # Elsewhere a link that is lost as a consumer begins may have delivered it unseen.
            most = message.handed + message.unseen
            assert message.handed <= delivery.delivery_count <= most, message
        if message.handed > 1:
            assert delivery.redelivered or message.may_repeat, message
        elif message.unseen == 0:
            assert not delivery.redelivered, message
        if not delivery.redelivered and message.death is None:
            assert message.number > reader.last_first, f"{delivery!r} is out of order"
            reader.last_first = message.number
        return message

    @precondition(lambda self: self._readers)
    @rule(reader_at=st.integers(0, 11), back=st.integers(0, 7), word=WORDS)
    def settle(self, reader_at: int, back: int, word: str) -> None:
        """Also a second time, and too late."""
        # What is in hand depends on time, and nothing that is drawn may.
        readers = [one for one in self._readers if one.held] or self._readers
        reader = readers[reader_at % len(readers)]
        if not reader.held and self.receive_one(reader) is None:
            return
        one = reader.held[-1 - back % len(reader.held)]
        was_open = one.is_open
        self.clients.run(self.clients.answer(one, word))
        if was_open:
            self.model.note(reader.queue, str(one.delivery.message_id), word)

    @precondition(lambda self: self.clients.faults is not None and self._readers)
    @rule()
    def lose_consuming_link(self) -> None:
        self.clients.run(self.clients.cut_consuming())
        for name in {reader.queue for reader in self._readers}:
            self.model.queues[name].come_back()
        for one in [one for reader in self._readers for one in reader.held]:
            one.stale = True

    # The end.

    def drain(self, reader: Reader, graves: Reader) -> None:
        """Take all that a queue must hold, and see that there is nothing more."""
        queue = self.model.queues[reader.queue]
        end = time.monotonic() + self._patience
        while self.take(reader) or (
            queue.options.dead_letter is not None
            and queue.possible()  # it is here or there, sooner or later
            and (self.take(graves) or time.monotonic() < end)
        ):
            pass
        assert queue.sure() == [], f"{queue.name} lost messages"
        for message in [*queue.messages.values()]:
            self.model.bury(queue, message, DeathReason.DELIVERY_LIMIT, "")
        self.clients.run(self.clients.leave(reader))

    def take(self, reader: Reader) -> bool:
        """Take and ack the next delivery of a queue, if there is one."""
        queue = self.model.queues[reader.queue]
        delivery = self.clients.run(self.clients.next(reader, surely=bool(queue.sure())))
        if delivery is None:
            return False
        message = self.expect(reader, queue, delivery)
        self.clients.run(self.clients.answer(Held(delivery), "ack"))
        queue.settle(message)
        return True
