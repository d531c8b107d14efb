"""Who shares the memory engine's broker server, and what is left when the last one closes."""

import pytest

from asyncbackends.errors import ConfigurationError, ExchangeNotFoundError
from asyncbackends_memory import MemoryBrokerOptions, broker_faults, message_broker
from tests.unit.wire_recorders import CountingClock, WireUnderTest, message, queue, turns


async def test_openers_share_a_server_until_the_last_one_closes() -> None:
    async with (
        WireUnderTest() as one,
        WireUnderTest() as two,
        WireUnderTest(namespace="m") as three,
    ):
        link = await one.consuming()
        await link.link.create_exchange("e", durable=True, kind="fanout")
        await link.link.declare_queue(queue(), must_match=True)
        await (await two.publishing()).send(message("a"))
        assert (await link.consume()).ids == ["a"]
        publishing = await three.publishing()
        await publishing.send(message("a"))
        assert isinstance(publishing.answers[1], ExchangeNotFoundError)
        await link.link.close()
    async with WireUnderTest() as one:
        publishing = await one.publishing()
        await publishing.send(message("a"))
        assert isinstance(publishing.answers[1], ExchangeNotFoundError)


async def test_the_clock_is_that_of_the_first_opener() -> None:
    broker_faults("timed").clock = first = CountingClock()
    async with WireUnderTest("timed") as one:
        one.faults.clock = CountingClock()
        async with WireUnderTest("timed") as two:
            assert one.wire.clock is two.wire.clock is first


async def test_nothing_is_due_after_the_last_one_closed() -> None:
    async with WireUnderTest() as under_test:
        publishing, link = await under_test.publishing(), await under_test.consuming()
        await link.link.create_exchange("e", durable=True, kind="fanout")
        await link.link.declare_queue(queue("p", private_ttl=5.0), must_match=False)
        await link.link.declare_queue(queue(), must_match=False)
        consuming = await link.consume()
        await publishing.send(message("a"), message("b"))
        await consuming.settle("a", verdict="again", delay=5)
        publishing.link.send([message("c")])
        clock = under_test.clock
    await turns()
    assert publishing.confirms == [1, 2]
    assert consuming.ids == ["a", "b"]
    assert clock.pending == 0


def test_the_engine_has_one_endpoint() -> None:
    with pytest.raises(ConfigurationError, match="one endpoint"):
        message_broker.load()(["a", "b"], MemoryBrokerOptions())
