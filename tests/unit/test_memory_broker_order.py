"""Whatever happens to consumers, a queue of the memory engine hands out its oldest messages."""

import asyncio
from collections import Counter
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from asyncbackends.broker.wire import Answer
from tests.unit.wire_recorders import Consuming, Link, WireUnderTest, message, queue, turns

Step = tuple[Literal["publish", "join", "close", "lose", "ack", "again", "later", "wait"], int]

steps = st.lists(
    st.tuples(
        st.sampled_from(["publish", "join", "close", "lose", "ack", "again", "later", "wait"]),
        st.integers(0, 5),
    ),
    max_size=40,
)


class Model:
    """A queue as simple as can be, beside the real one."""

    def __init__(self, under_test: WireUnderTest, link: Link) -> None:
        self.under_test = under_test
        self.link = link
        self.published = 0
        self.waiting: set[int] = set()
        self.delayed: dict[int, float] = {}
        self.held: dict[Consuming, dict[int, int]] = {}
        """The tokens of what a consumer has, by message."""
        self.room: dict[Consuming, int] = {}
        self.counts: Counter[int] = Counter()

    async def check(self) -> None:
        """Let the server hand out what it can, and see that it was the oldest, counted right."""
        await turns()
        now = self.under_test.clock.monotonic()
        for number in [one for one, until in self.delayed.items() if until <= now]:
            del self.delayed[number]
            self.waiting.add(number)
        handed_out: list[int] = []
        for consuming, held in self.held.items():
            numbers = [int(came.message_id or "") for came in consuming.messages]
            assert numbers == sorted(numbers)
            for came, number in zip(consuming.messages, numbers, strict=True):
                self.counts[number] += 1
                assert came.delivery_count == self.counts[number]
                assert came.redelivered == (self.counts[number] > 1)
                held[number] = came.token
            handed_out += numbers
            consuming.messages.clear()
            assert len(held) <= self.room[consuming]
        free = sum(self.room.values()) - sum(map(len, self.held.values())) + len(handed_out)
        assert sorted(handed_out) == sorted(self.waiting)[:free]
        self.waiting.difference_update(handed_out)

    async def take(self, step: Step) -> None:
        name, value = step
        if name == "publish":
            publishing = await self.under_test.publishing()
            numbers = range(self.published, self.published + value)
            self.published += value
            self.waiting.update(numbers)
            await publishing.send(*(message(str(number)) for number in numbers))
            assert len(publishing.confirms) == value
            await publishing.link.close()
        elif name == "join":
            consuming = Consuming()
            self.held[consuming], self.room[consuming] = {}, value + 1
            consuming.consumer = await self.link.link.consume("q", value + 1, consuming)
        elif name == "lose":
            self.under_test.faults.drop_consuming()
            for consuming in tuple(self.held):
                self.let_go(consuming)
            self.link = await self.under_test.consuming()
        elif name == "wait":
            # All delays are whole seconds: what comes back together is in order, no more.
            for _ in range(value):
                await self.under_test.clock.advance(1)
                await self.check()
        elif self.held:
            consuming = list(self.held)[value % len(self.held)]
            if name == "close":
                await consuming.consumer.close()
                self.let_go(consuming)
            else:
                self.settle(consuming, name, value)

    def let_go(self, consuming: Consuming) -> None:
        self.waiting.update(self.held.pop(consuming))
        del self.room[consuming]

    def settle(self, consuming: Consuming, name: str, value: int) -> None:
        held = self.held[consuming]
        # The youngest ones, so that order is not kept by chance.
        settled = sorted(held, reverse=True)[: value + 1]
        delay = float(value + 1) if name == "later" else 0.0
        verdict: Literal["ack", "again"] = "ack" if name == "ack" else "again"
        consuming.consumer.settle([Answer(held.pop(one), verdict, delay) for one in settled])
        if name == "again":
            self.waiting.update(settled)
        elif name == "later":
            now = self.under_test.clock.monotonic()
            self.delayed.update(dict.fromkeys(settled, now + delay))


@given(steps)
def test_the_oldest_that_wait_are_handed_out_and_counted(taken: list[Step]) -> None:
    async def run() -> None:
        async with WireUnderTest("modelled") as under_test:
            link = await under_test.consuming()
            await link.link.create_exchange("e", durable=True, kind="fanout")
            await link.link.declare_queue(queue(), must_match=True)
            model = Model(under_test, link)
            for step in taken:
                await model.take(step)
                await model.check()

    asyncio.run(run())
