"""What the switchboard of the memory engine's broker does to links, through the wire alone."""

import asyncio
from collections.abc import AsyncGenerator, Generator

import pytest
import pytest_asyncio

from asyncbackends.errors import (
    AccessDeniedError,
    AuthenticationFailedError,
    ConnectionFailedError,
    ConnectionLostError,
    ExchangeNotFoundError,
    PublishRejectedError,
    QueueNotFoundError,
    ResourceExhaustedError,
)
from asyncbackends.protocols.messages import QueueOptions
from asyncbackends_memory import BrokerFaults, broker_faults
from tests.unit.wire_recorders import Link, Publishing, WireUnderTest, message, queue, turns

NAME = "wire-faults"


@pytest.fixture
def faults() -> Generator[BrokerFaults]:
    yield broker_faults(NAME)
    broker_faults(NAME).clear()


@pytest_asyncio.fixture
async def wire(faults: BrokerFaults) -> AsyncGenerator[WireUnderTest]:
    async with WireUnderTest(NAME) as opened:
        yield opened


@pytest_asyncio.fixture
async def link(wire: WireUnderTest) -> Link:
    """A consuming link, with a queue ``q`` on a fanout exchange ``e``."""
    consuming = await wire.consuming()
    await consuming.link.create_exchange("e", durable=True, kind="fanout")
    await consuming.link.declare_queue(queue(), must_match=True)
    return consuming


@pytest_asyncio.fixture
async def out(wire: WireUnderTest, link: Link) -> Publishing:
    return await wire.publishing()


# Links.


async def test_drop_connection_takes_both_links_until_it_is_restored(
    wire: WireUnderTest, link: Link, out: Publishing, faults: BrokerFaults
) -> None:
    consuming = await link.consume()
    out.link.send([message("a")])
    faults.drop_connection()
    assert (link.error, out.error, out.link.writable) == (None, None, False)
    await turns()
    assert isinstance(link.error, ConnectionLostError)
    assert isinstance(out.error, ConnectionLostError)
    # Stored, but neither confirmed nor delivered on links that are gone.
    assert (out.answers, consuming.ids) == ({}, [])
    await out.send(message("b"))
    for dial in (wire.consuming, wire.publishing):
        with pytest.raises(ConnectionFailedError):
            await dial()
    with pytest.raises(ConnectionLostError):
        await link.link.server_info()
    faults.restore_connection()
    again, consumer = await wire.publishing(), await (await wire.consuming()).consume()
    await again.send(message("a"), message("b"))
    assert again.confirms == [1, 2]
    assert (consumer.ids, consumer.counts) == (["a", "b"], [1, 1])


async def test_each_sort_of_link_is_lost_alone_and_once(
    wire: WireUnderTest, link: Link, out: Publishing, faults: BrokerFaults
) -> None:
    faults.drop_publishing()
    await turns()
    assert out.error is not None
    assert link.error is None
    out = await wire.publishing()
    faults.drop_consuming()
    await turns()
    assert out.error is None
    assert link.error is not None
    await wire.consuming()


async def test_a_lost_link_that_is_closed_tells_nothing(
    link: Link, out: Publishing, faults: BrokerFaults
) -> None:
    faults.drop_connection()
    await out.link.close()
    await link.link.close()
    await turns()
    assert (link.error, out.error) == (None, None)


async def test_what_a_lost_link_had_comes_again_in_order(
    wire: WireUnderTest, link: Link, out: Publishing, faults: BrokerFaults
) -> None:
    one = await link.consume(prefetch=3)
    await out.send(*(message(one) for one in "abcde"))
    await one.settle("b")
    faults.drop_consuming()
    await one.settle("a")
    two = await (await wire.consuming()).consume()
    assert two.ids == ["a", "c", "d", "e"]
    assert [came.redelivered for came in two.messages] == [True, True, True, False]
    assert two.counts == [2, 2, 2, 1]


async def test_dialing_and_declaring_take_their_time(
    wire: WireUnderTest, link: Link, faults: BrokerFaults
) -> None:
    faults.delay(3)
    dialing = asyncio.create_task(wire.publishing())
    declaring = asyncio.create_task(link.link.declare_queue(queue("r"), must_match=True))
    await wire.clock.advance(2.9)
    assert not dialing.done()
    assert not declaring.done()
    await wire.clock.advance(0.1)
    assert (await declaring).created
    await (await dialing).link.close()


async def test_a_slow_operation_ends_with_its_link(
    wire: WireUnderTest, link: Link, faults: BrokerFaults
) -> None:
    faults.delay(1000)
    declaring = asyncio.create_task(link.link.declare_queue(queue("r"), must_match=True))
    cancelled = asyncio.create_task(link.link.delete_queue("q"))
    await turns()
    cancelled.cancel()
    faults.drop_consuming()
    with pytest.raises(ConnectionLostError, match="declare_queue; it was not applied"):
        await declaring
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert wire.clock.pending == 0


async def test_operations_fail_by_name(
    wire: WireUnderTest, link: Link, faults: BrokerFaults
) -> None:
    faults.fail_next(AuthenticationFailedError("who are you"), "open_publishing")
    faults.fail_next(AccessDeniedError("no"), "delete_queue", times=2)
    await wire.consuming()
    with pytest.raises(AuthenticationFailedError):
        await wire.publishing()
    await wire.publishing()
    for _ in range(2):
        with pytest.raises(AccessDeniedError):
            await link.link.delete_queue("q")
    await link.consume()
    faults.fail_next(ResourceExhaustedError("full"))
    with pytest.raises(ResourceExhaustedError):
        await link.link.server_info()
    assert (await link.link.server_info()).product == "memory"


# Publishing.


async def test_lost_confirms_leave_holes_that_no_later_confirm_fills(
    out: Publishing, link: Link, faults: BrokerFaults
) -> None:
    consuming = await link.consume()
    await out.send(message("a"))
    faults.lose_confirms(2)
    await out.send(message("b"), message("nowhere", "x"), message("c"), message("d"))
    await out.send(message("e"))
    assert out.confirms == [1, 5, 6]
    assert isinstance(out.answers[3], ExchangeNotFoundError)
    assert consuming.ids == ["a", "b", "c", "d", "e"]


async def test_held_confirms_come_when_they_are_released(
    out: Publishing, link: Link, faults: BrokerFaults
) -> None:
    consuming = await link.consume()
    faults.hold_confirms()
    await out.send(message("a"), message("b", "x"))
    await out.send(message("c"))
    assert (out.confirms, consuming.ids) == ([], ["a", "c"])
    assert isinstance(out.answers[2], ExchangeNotFoundError)
    faults.release_confirms()
    await turns()
    assert out.confirms == [1, 3]
    assert out.calls == [(3, True)]


async def test_confirms_that_are_held_are_gone_with_the_link(
    wire: WireUnderTest, out: Publishing, link: Link, faults: BrokerFaults
) -> None:
    faults.hold_confirms()
    await out.send(message("a"))
    faults.drop_publishing()
    faults.release_confirms()
    await turns()
    assert out.answers == {}
    again = await wire.publishing()
    await again.send(message("a"))
    assert again.confirms == [1]
    assert (await link.consume()).ids == ["a"]


async def test_messages_are_refused_and_not_stored(
    out: Publishing, link: Link, faults: BrokerFaults
) -> None:
    faults.refuse_next()
    faults.refuse_next(ResourceExhaustedError("disk full"), times=2)
    await out.send(*(message(one) for one in "abcd"))
    assert out.confirms == [4]
    assert [type(out.answers[number]) for number in (1, 2, 3)] == [
        PublishRejectedError,
        ResourceExhaustedError,
        ResourceExhaustedError,
    ]
    assert (await link.consume()).ids == ["d"]


async def test_a_message_that_is_stored_is_not_refused_when_it_comes_again(
    wire: WireUnderTest, out: Publishing, link: Link, faults: BrokerFaults
) -> None:
    faults.lose_confirms(1)
    await out.send(message("a"))
    faults.drop_publishing()
    faults.refuse_next()
    again = await wire.publishing()
    await again.send(message("a"), message("b"))
    assert again.confirms == [1]
    assert isinstance(again.answers[2], PublishRejectedError)
    assert (await link.consume()).ids == ["a"]


async def test_a_blocked_broker_takes_messages_later(
    wire: WireUnderTest, out: Publishing, link: Link, faults: BrokerFaults
) -> None:
    consuming = await link.consume()
    faults.block("no memory")
    assert not out.link.writable
    # What was on its way is not lost.
    await out.send(message("a"), message("b"))
    other = await wire.publishing()
    await turns()
    assert (out.told, other.told, out.answers) == (["no memory"], ["no memory"], {})
    # Acks and declarations go on.
    await link.link.declare_queue(queue("r"), must_match=True)
    faults.unblock()
    await turns()
    assert out.told == other.told == ["no memory", None, "writable"]
    assert (out.confirms, consuming.ids) == ([1, 2], ["a", "b"])
    await out.send(message("c"))
    assert out.confirms == [1, 2, 3]


async def test_a_message_closes_its_link_whenever_it_comes(
    wire: WireUnderTest, out: Publishing, link: Link, faults: BrokerFaults
) -> None:
    faults.close_at("b")
    await out.send(message("a"), message("b"), message("c"))
    assert (out.answers, out.told) == ({}, ["closed by server"])
    again = await wire.publishing()
    await again.send(message("a"))
    await again.send(message("b"))
    assert (again.confirms, again.told) == ([1], ["closed by server"])
    last = await wire.publishing()
    await last.send(message("c"))
    assert last.confirms == [1]
    assert (await link.consume()).ids == ["a", "c"]


async def test_clear_ends_what_was_begun(
    wire: WireUnderTest, out: Publishing, link: Link, faults: BrokerFaults
) -> None:
    faults.block()
    faults.hold_confirms()
    faults.lose_confirms(5)
    faults.refuse_next(times=5)
    faults.close_at("a")
    faults.delay(1000)
    faults.fail_next(AccessDeniedError("no"))
    faults.drop_in_settle(1)
    faults.lose_settles(5)
    faults.clear()
    await out.send(message("a"), message("b"), message("c"))
    assert out.confirms == [1, 2, 3]
    consuming = await link.consume(prefetch=3)
    await consuming.settle("a", "b", "c")
    faults.drop_connection()
    faults.clear()
    assert (await (await wire.consuming()).consume()).ids == []


# Consuming.


async def test_a_link_is_lost_amid_several_answers(
    wire: WireUnderTest, out: Publishing, link: Link, faults: BrokerFaults
) -> None:
    consuming = await link.consume()
    await out.send(*(message(one) for one in "abcd"))
    faults.drop_in_settle(2)
    await consuming.settle("d")
    assert link.error is None
    await consuming.settle("a", "b", "c")
    assert link.error is not None
    again = await wire.consuming()
    assert (await again.consume()).ids == ["c"]


async def test_lost_answers_leave_messages_with_their_link(
    wire: WireUnderTest, out: Publishing, link: Link, faults: BrokerFaults
) -> None:
    consuming = await link.consume(prefetch=3)
    await out.send(*(message(one) for one in "abcde"))
    faults.lose_settles(2)
    await consuming.settle("a", "b", "c")
    assert consuming.ids == ["a", "b", "c", "d"]
    faults.drop_consuming()
    assert (await (await wire.consuming()).consume()).ids == ["a", "b", "d", "e"]


async def test_a_queue_that_is_made_again_has_lost_its_messages(
    out: Publishing, link: Link, faults: BrokerFaults
) -> None:
    one, two = await link.consume(prefetch=1), await link.consume(prefetch=1)
    await out.send(*(message(one) for one in "abcd"))
    faults.remake_queue("q")
    faults.remake_queue("unknown")
    await turns()
    assert (one.ends, two.ends) == (1, 1)
    declared = await link.link.declare_queue(queue(), must_match=True)
    assert not declared.created
    # Answers for messages that are gone change nothing.
    await one.settle("a", verdict="again")
    await out.send(message("e"))
    assert (await link.consume()).ids == ["e"]


async def test_a_third_party_deletes(out: Publishing, link: Link, faults: BrokerFaults) -> None:
    consuming = await link.consume()
    faults.delete_queue("q")
    await turns()
    assert consuming.ends == 1
    faults.delete_exchange("e")
    with pytest.raises(ExchangeNotFoundError):
        await link.link.declare_queue(queue(), must_match=False)


async def test_a_restart_keeps_what_is_durable(
    wire: WireUnderTest, out: Publishing, link: Link, faults: BrokerFaults
) -> None:
    passing = QueueOptions(durable=False)
    await link.link.declare_queue(queue("passing", options=passing), must_match=True)
    await link.link.declare_queue(queue("private", private_ttl=10.0), must_match=True)
    await link.link.create_exchange("soft", durable=False, kind="fanout")
    await link.link.declare_queue(queue("on-soft", "soft"), must_match=True)
    consuming, private = await link.consume(prefetch=2), await link.consume("private")
    await out.send(*(message(one) for one in "abc"))
    await consuming.settle("a")
    await consuming.settle("b", verdict="again")
    assert consuming.counts == [1, 1, 1, 2]
    faults.restart()
    await turns()
    assert link.error is not None
    assert out.error is not None
    assert (consuming.ends, private.ends) == (0, 0)
    link, out = await wire.consuming(), await wire.publishing()
    for gone in ("passing", "on-soft"):
        with pytest.raises(QueueNotFoundError):
            await link.consume(gone)
    consuming = await link.consume()
    assert (consuming.ids, consuming.counts) == (["b", "c"], [3, 2])
    await wire.clock.advance(9.9)
    assert (await link.consume("private")).ids == ["a", "b", "c"]
    # It still knows what it has stored.
    await out.send(message("c"), message("d"), message("x", "soft"))
    assert consuming.ids == ["b", "c", "d"]
    assert isinstance(out.answers[3], ExchangeNotFoundError)


async def test_faults_reach_every_namespace_of_the_name(faults: BrokerFaults) -> None:
    async with WireUnderTest(NAME, "one") as one, WireUnderTest(NAME, "two") as two:
        links = [await one.consuming(), await two.consuming()]
        async with WireUnderTest("another-name") as other:
            links.append(await other.consuming())
            faults.drop_consuming()
            await turns()
    assert [link.error is None for link in links] == [False, False, True]


def test_a_loop_that_ended_without_a_close_disturbs_nobody(faults: BrokerFaults) -> None:
    async def leave_it_open() -> None:
        wire = WireUnderTest(NAME)
        await wire.__aenter__()
        publishing, link = await wire.publishing(), await wire.consuming()
        await link.link.create_exchange("e", durable=True, kind="fanout")
        await link.link.declare_queue(queue(private_ttl=5.0), must_match=False)
        await publishing.send(message("a"))

    async def open_another() -> None:
        async with WireUnderTest(NAME) as wire:
            publishing = await wire.publishing()
            await publishing.send(message("a"))
            assert isinstance(publishing.answers[1], ExchangeNotFoundError)

    asyncio.run(leave_it_open())
    faults.drop_connection()
    faults.clear()
    asyncio.run(open_another())
