"""The memory engine's broker server, through its wire alone."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from asyncbackends.errors import (
    DeclarationConflictError,
    ExchangeNotFoundError,
    PublishRejectedError,
    QueueNotFoundError,
    UnroutableError,
)
from asyncbackends.protocols.messages import QueueOptions
from tests.unit.wire_recorders import (
    Link,
    Publishing,
    WireUnderTest,
    message,
    queue,
    turns,
)


class Server:
    """A wire with one link of each sort and a fanout exchange ``e``."""

    def __init__(self, under_test: WireUnderTest, out: Publishing, link: Link) -> None:
        self.under_test = under_test
        self.clock = under_test.clock
        self.out = out
        self.link = link

    async def publish(self, *ids: str, **parts: Any) -> None:
        await self.out.send(*(message(one, **parts) for one in ids))

    async def declare(self, name: str = "q", exchange: str = "e", **parts: Any) -> None:
        await self.link.link.declare_queue(queue(name, exchange, **parts), must_match=True)


@pytest_asyncio.fixture
async def server() -> AsyncGenerator[Server]:
    async with WireUnderTest() as under_test:
        opened = Server(under_test, await under_test.publishing(), await under_test.consuming())
        await opened.link.link.create_exchange("e", durable=True, kind="fanout")
        yield opened


# Publishing.


async def test_a_batch_is_confirmed_by_one_call_in_a_later_turn(server: Server) -> None:
    await server.declare()
    server.out.link.send([message(str(number)) for number in range(5)])
    assert server.out.calls == []
    await turns()
    assert server.out.calls == [(5, True)]
    server.out.link.send([message("a")])
    server.out.link.send([message("b")])
    await turns()
    assert server.out.calls == [(5, True), (7, True)]


async def test_all_parts_of_a_message_come_as_they_went(server: Server) -> None:
    await server.declare()
    consuming = await server.link.consume()
    sent = message("a", routing_key="key", expires_at=1_600_000_100.0)
    await server.out.send(sent)
    (came,) = consuming.messages
    for part in ("exchange", "routing_key", "body", "headers", "message_id", "correlation_id"):
        assert getattr(came, part) == getattr(sent, part)
    assert (came.reply_to, came.timestamp, came.expires_at) == (
        "r",
        1_600_000_000.0,
        sent.expires_at,
    )
    assert (came.redelivered, came.delivery_count) == (False, 1)


async def test_fanout_passes_a_message_to_every_queue(server: Server) -> None:
    await server.declare("one")
    await server.declare("two")
    one, two = await server.link.consume("one"), await server.link.consume("two")
    await server.publish("a", "b", "c")
    assert one.ids == two.ids == ["a", "b", "c"]


async def test_direct_passes_a_message_to_the_queues_bound_with_its_key(server: Server) -> None:
    await server.link.link.create_exchange("d", durable=True, kind="direct")
    await server.declare("one", "d", routing_keys=("x", "y"))
    await server.declare("two", "d", routing_keys=("y",))
    await server.declare("none", "d")
    one, two = await server.link.consume("one"), await server.link.consume("two")
    none = await server.link.consume("none")
    for key in ("x", "y", "z"):
        await server.publish(key, exchange="d", routing_key=key)
    assert (one.ids, two.ids, none.ids) == (["x", "y"], ["y"], [])
    assert server.out.confirms == [1, 2, 3]
    # Binding adds to what is bound, and is no conflict.
    await server.declare("two", "d", routing_keys=("z", "y"))
    await server.publish("z2", exchange="d", routing_key="z")
    await server.publish("y2", exchange="d", routing_key="y")
    assert two.ids == ["y", "z2", "y2"]


async def test_an_unknown_exchange_refuses_one_message_of_a_batch(server: Server) -> None:
    await server.declare()
    await server.out.send(message("a"), message("b", "nowhere"), message("c"))
    assert server.out.confirms == [1, 3]
    assert isinstance(server.out.answers[2], ExchangeNotFoundError)
    assert (await server.link.consume()).ids == ["a", "c"]


async def test_mandatory_is_refused_if_and_only_if_no_queue_takes_it(server: Server) -> None:
    await server.link.link.create_exchange("d", durable=True, kind="direct")
    await server.out.send(
        message("1", mandatory=True),
        message("2", "d", routing_key="k", mandatory=True),
        message("3"),
    )
    assert isinstance(server.out.answers[1], UnroutableError)
    assert isinstance(server.out.answers[2], UnroutableError)
    await server.declare("q")
    await server.declare("k", "d", routing_keys=("k",))
    # The same ids: what was refused was not stored.
    await server.out.send(
        message("1", mandatory=True),
        message("2", "d", routing_key="k", mandatory=True),
        message("5", "d", routing_key="other", mandatory=True),
    )
    assert server.out.confirms == [3, 4, 5]
    assert isinstance(server.out.answers[6], UnroutableError)


async def test_an_id_that_is_stored_is_not_stored_again_within_the_window(server: Server) -> None:
    await server.declare()
    consuming = await server.link.consume()
    await server.publish("a", "a")
    await consuming.settle("a")
    await server.clock.advance(119)
    await server.publish("a")
    assert consuming.ids == ["a"]
    assert server.out.confirms == [1, 2, 3]
    await server.clock.advance(3)
    await server.publish("a")
    assert consuming.ids == ["a", "a"]
    assert consuming.counts == [1, 1]


async def test_the_window_is_of_one_exchange_and_counts_what_was_stored(server: Server) -> None:
    await server.link.link.create_exchange("f", durable=True, kind="fanout")
    # Nobody takes it yet.
    await server.publish("a")
    await server.declare("q")
    await server.declare("r", "f")
    await server.publish("a")
    await server.publish("a", exchange="f")
    assert (await server.link.consume("q")).ids == ["a"]
    assert (await server.link.consume("r")).ids == ["a"]


# Limits of a queue.


async def test_a_full_queue_refuses_and_nothing_is_stored_anywhere(server: Server) -> None:
    await server.declare("wide")
    await server.declare("narrow", options=QueueOptions(max_length=2))
    await server.publish("a", "b", "c")
    assert server.out.confirms == [1, 2]
    assert isinstance(server.out.answers[3], PublishRejectedError)
    assert "narrow" in str(server.out.answers[3])
    wide, narrow = await server.link.consume("wide"), await server.link.consume("narrow")
    assert wide.ids == narrow.ids == ["a", "b"]
    # Deliveries in progress are not counted, and its id was not taken.
    await server.publish("c")
    assert wide.ids == narrow.ids == ["a", "b", "c"]


async def test_what_a_consumer_is_ready_for_does_not_wait(server: Server) -> None:
    await server.declare(options=QueueOptions(max_length=2))
    consuming = await server.link.consume(prefetch=5)
    await server.publish(*map(str, range(8)))
    assert server.out.confirms == [1, 2, 3, 4, 5, 6, 7]
    assert consuming.ids == ["0", "1", "2", "3", "4"]
    await consuming.settle("0", "1", "2")
    assert consuming.ids == ["0", "1", "2", "3", "4", "5", "6"]


async def test_the_oldest_that_waits_goes_when_the_queue_drops(server: Server) -> None:
    await server.declare(options=QueueOptions(max_length=2, overflow="drop_oldest"))
    first = await server.link.consume(prefetch=2)
    await server.publish("a", "b", "c", "d", "e")
    assert first.ids == ["a", "b"]
    assert server.out.confirms == [1, 2, 3, 4, 5]
    # What comes back is not dropped by coming back, only by what comes after it.
    await first.consumer.close()
    second = await server.link.consume()
    assert second.ids == ["a", "b", "d", "e"]


async def test_expired_messages_are_neither_delivered_nor_counted(server: Server) -> None:
    await server.declare(options=QueueOptions(max_length=2))
    now = server.clock.utc()
    await server.publish("a", expires_at=now + 1)
    await server.publish("b", expires_at=now + 10)
    await server.publish("c")
    assert isinstance(server.out.answers[3], PublishRejectedError)
    await server.clock.advance(1)
    await server.publish("c")
    assert server.out.confirms == [1, 2, 4]
    assert (await server.link.consume()).ids == ["b", "c"]


async def test_a_message_expires_by_the_time_of_its_queue(server: Server) -> None:
    await server.declare("short", options=QueueOptions(message_ttl=5))
    await server.declare("long")
    await server.publish("a", timestamp=server.clock.utc())
    await server.clock.advance(5)
    assert (await server.link.consume("short")).ids == []
    assert (await server.link.consume("long")).ids == ["a"]


# Consumers.


async def test_deliveries_come_in_batches_within_the_prefetch(server: Server) -> None:
    await server.declare()
    await server.publish(*map(str, range(10)))
    consuming = await server.link.consume(prefetch=4)
    assert (consuming.ids, consuming.batches) == (["0", "1", "2", "3"], [4])
    await consuming.settle("1", "3")
    assert (consuming.ids[4:], consuming.batches) == (["4", "5"], [4, 2])


async def test_consumers_of_a_queue_take_turns(server: Server) -> None:
    await server.declare()
    one, two, three = [await server.link.consume(prefetch=size) for size in (100, 2, 100)]
    await server.publish(*map(str, range(8)))
    assert (one.ids, two.ids, three.ids) == (["0", "3", "6"], ["1", "4"], ["2", "5", "7"])
    # The next one is whose turn it is, also between batches.
    await server.publish("8")
    assert one.ids[-1] == "8"


async def test_a_long_queue_is_handed_out_over_several_turns(server: Server) -> None:
    await server.declare()
    ids = [str(number) for number in range(1700)]
    await server.publish(*ids)
    consuming = await server.link.consume(prefetch=10_000)
    await turns(10)
    assert consuming.ids == ids
    assert max(consuming.batches) <= 500


async def test_again_comes_back_in_its_place_with_its_count(server: Server) -> None:
    await server.declare()
    await server.publish("a", "b", "c", "d")
    consuming = await server.link.consume(prefetch=2)
    await consuming.settle("b", "a", verdict="again")
    assert consuming.ids[2:] == ["a", "b"]
    assert consuming.counts == [1, 1, 2, 2]
    assert [one.redelivered for one in consuming.messages] == [False, False, True, True]


async def test_again_with_a_delay_comes_to_its_place_at_its_time(server: Server) -> None:
    await server.declare()
    await server.publish("a", "b", "c", "d", "e")
    consuming = await server.link.consume(prefetch=2)
    await consuming.settle("a", verdict="again", delay=10)
    # A delayed message is not in progress.
    assert consuming.ids == ["a", "b", "c"]
    await consuming.settle("c", verdict="again", delay=5)
    assert consuming.ids == ["a", "b", "c", "d"]
    await server.clock.advance(10)
    assert consuming.ids == ["a", "b", "c", "d"]
    await consuming.settle("b", "d")
    assert consuming.ids[4:] == ["a", "c"]
    assert consuming.counts[4:] == [2, 2]
    await consuming.settle("a", "c")
    assert consuming.ids[6:] == ["e"]


async def test_what_is_unsettled_goes_back_when_a_consumer_closes(server: Server) -> None:
    await server.declare()
    await server.publish("a", "b", "c", "d", "e")
    one = await server.link.consume(prefetch=3)
    await one.settle("b")
    assert one.ids == ["a", "b", "c", "d"]
    two = await server.link.consume(prefetch=1)
    assert two.ids == ["e"]
    tokens = one.messages
    await one.consumer.close()
    await two.settle("e")
    await two.settle("a")
    await two.settle("c")
    assert two.ids == ["e", "a", "c", "d"]
    assert two.counts == [1, 2, 2, 2]
    # An answer that comes too late settles nothing.
    one.messages = tokens
    await one.settle("d")
    await two.consumer.close()
    assert (await server.link.consume()).counts == [3]


async def test_what_was_not_told_yet_is_not_counted(server: Server) -> None:
    await server.declare(options=QueueOptions(max_length=1))
    one = await server.link.consume(prefetch=1)
    # The second send assigns the first message early, to make room.
    server.out.link.send([message("a"), message("b")])
    await one.consumer.close()
    await turns()
    assert one.ids == []
    two = await server.link.consume()
    assert (two.ids, two.counts) == (["a", "b"], [1, 1])


async def test_a_second_answer_to_one_delivery_is_nothing(server: Server) -> None:
    await server.declare()
    consuming = await server.link.consume(prefetch=1)
    await server.publish("a", "b", "c")
    await consuming.settle("a")
    await consuming.settle("a")
    assert consuming.ids == ["a", "b"]


# Declarations.


async def test_an_exchange_conflicts_by_kind_and_durability(server: Server) -> None:
    link = server.link.link
    await link.create_exchange("e", durable=True, kind="fanout")
    with pytest.raises(DeclarationConflictError, match="'e' is there with kind") as raised:
        await server.out.link.create_exchange("e", durable=True, kind="direct")
    assert (raised.value.name, raised.value.expected, raised.value.actual) == (
        "e",
        "direct",
        "fanout",
    )
    with pytest.raises(DeclarationConflictError, match="durable = True, not False"):
        await link.create_exchange("e", durable=False, kind="fanout")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("durable", False),
        ("queue_type", "classic"),
        ("max_length", 7),
        ("overflow", "drop_oldest"),
        ("message_ttl", 3.0),
        ("max_deliveries", 2),
        ("dead_letter", "e"),
    ],
)
async def test_a_queue_conflicts_by_the_option_that_differs(
    server: Server, option: str, value: object
) -> None:
    link, options = server.link.link, QueueOptions(**{option: value})  # type: ignore[arg-type]  # any
    there = await link.declare_queue(queue(options=options), must_match=True)
    assert (there.created, there.options) == (True, options)
    again = await link.declare_queue(queue(options=options), must_match=True)
    assert (again.created, again.options) == (False, options)
    with pytest.raises(DeclarationConflictError, match=f"with {option} = ") as raised:
        await link.declare_queue(queue(), must_match=True)
    expected = getattr(QueueOptions(), option)
    assert (raised.value.name, raised.value.expected, raised.value.actual) == ("q", expected, value)
    taken = await link.declare_queue(queue(), must_match=False)
    assert (taken.created, taken.options) == (False, options)


async def test_a_queue_has_one_exchange(server: Server) -> None:
    await server.link.link.create_exchange("f", durable=True, kind="fanout")
    await server.declare()
    with pytest.raises(DeclarationConflictError, match="exchange = 'e', not 'f'") as raised:
        await server.link.link.declare_queue(queue("q", "f"), must_match=False)
    assert (raised.value.expected, raised.value.actual) == ("f", "e")


async def test_a_queue_needs_its_exchanges(server: Server) -> None:
    with pytest.raises(ExchangeNotFoundError, match="nowhere"):
        await server.declare("q", "nowhere")
    with pytest.raises(ExchangeNotFoundError, match="graves"):
        await server.declare(options=QueueOptions(dead_letter="graves"))
    with pytest.raises(QueueNotFoundError, match="'q'"):
        await server.link.consume()


async def test_deleting_an_exchange_deletes_its_queues(server: Server) -> None:
    await server.declare("one")
    consuming = await server.link.consume("one")
    await server.publish("a")
    await server.link.link.delete_exchange("e")
    await server.link.link.delete_exchange("e")
    await turns()
    assert consuming.ends == 1
    await consuming.settle("a", verdict="again", delay=1)
    await consuming.consumer.close()
    await server.publish("b")
    assert isinstance(server.out.answers[2], ExchangeNotFoundError)
    await server.link.link.create_exchange("e", durable=False, kind="direct")
    with pytest.raises(QueueNotFoundError):
        await server.link.consume("one")


async def test_deleting_a_queue_leaves_the_others(server: Server) -> None:
    await server.link.link.create_exchange("d", durable=True, kind="direct")
    for name in ("one", "two"):
        await server.declare(name, "d", routing_keys=("k", name))
    one, two = await server.link.consume("one"), await server.link.consume("two")
    await server.link.link.delete_queue("one")
    await server.link.link.delete_queue("one")
    await server.publish("a", exchange="d", routing_key="k")
    await server.publish("b", exchange="d", routing_key="one")
    assert (one.ends, one.ids) == (1, [])
    assert (two.ends, two.ids) == (0, ["a"])


async def test_a_consumer_that_is_closed_hears_nothing_of_its_queue(server: Server) -> None:
    await server.declare()
    consuming = await server.link.consume()
    await server.link.link.delete_queue("q")
    await consuming.consumer.close()
    await turns()
    assert consuming.ends == 0


# Private queues.


async def test_a_private_queue_goes_after_its_time_without_a_consumer(server: Server) -> None:
    await server.declare(private_ttl=60.0)
    await server.clock.advance(59)
    consuming = await server.link.consume()
    await server.clock.advance(1000)
    server.under_test.faults.drop_consuming()
    await server.publish("a")
    link = await server.under_test.consuming()
    await server.clock.advance(59)
    declared = await link.link.declare_queue(queue(private_ttl=60.0), must_match=False)
    assert not declared.created
    # Declaring it counts as use.
    await server.clock.advance(59)
    consuming = await link.consume()
    assert consuming.ids == ["a"]
    await consuming.consumer.close()
    await server.clock.advance(60)
    with pytest.raises(QueueNotFoundError):
        await link.consume()
    assert server.clock.pending == 0
