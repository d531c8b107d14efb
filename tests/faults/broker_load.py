"""Publishers and subscribers that go on whatever happens, and know what they were told."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

from asyncbackends import MessageBroker, Subscription
from asyncbackends.errors import BackendError

__all__ = ("PREFETCH", "WINDOW", "Publisher", "Subscriber", "consuming")

OURS = "m-"
"""What the ids of a publisher's messages begin with; others publish too."""
PREFETCH = 100
WINDOW = 500
"""So many publishes are under way at once; the outbox holds no more."""


class Publisher:
    """Publishes so many messages, a window of them at a time, and notes when each was confirmed."""

    def __init__(self, broker: MessageBroker, exchange: str, messages: int) -> None:
        self.ids = [f"{OURS}{number}" for number in range(messages)]
        self.confirmed_at: list[float] = []
        self._broker = broker
        self._exchange = exchange
        self._reached: dict[int, asyncio.Event] = {}
        self._confirmed = asyncio.Event()
        self._errors: list[BackendError] = []
        self._body = b"x" * 1024

    async def run(self) -> None:
        """Publish all of them."""
        window = asyncio.Semaphore(WINDOW)
        async with asyncio.TaskGroup() as group:
            for message_id in self.ids:
                await window.acquire()
                group.create_task(self._publish(message_id, window))
                self._check()
        self._check()

    def _check(self) -> None:
        """Fail once for all: hundreds of them end together."""
        assert not self._errors, f"{len(self._errors)} failed, the first: {self._errors[0]!r}"

    async def _publish(self, message_id: str, window: asyncio.Semaphore) -> None:
        try:
            given = await self._broker.publish(
                self._body, exchange=self._exchange, message_id=message_id, timeout=60
            )
        except BackendError as error:
            self._errors.append(error)
            return
        finally:
            window.release()
        assert given == message_id
        self.confirmed_at.append(time.monotonic())
        self._confirmed.set()
        if event := self._reached.get(len(self.confirmed_at)):
            event.set()

    @property
    def longest_pause(self) -> float:
        """Seconds between two confirms that came one after the other, at most."""
        return max(later - sooner for sooner, later in pairwise(self.confirmed_at))

    async def reach(self, number: int) -> None:
        """Wait until so many are confirmed."""
        if len(self.confirmed_at) < number:
            await self._reached.setdefault(number, asyncio.Event()).wait()

    async def first_after(self, moment: float) -> float:
        """Give the time of the first confirm after this one."""
        while not self.confirmed_at or self.confirmed_at[-1] <= moment:
            self._confirmed.clear()
            await self._confirmed.wait()
        return next(at for at in self.confirmed_at if at > moment)


class Subscriber:
    """Acks everything, and notes in which order it came first, and how often again."""

    def __init__(self, expected: int) -> None:
        self.first: list[str] = []
        self.copies: Counter[str] = Counter()
        self.complete = asyncio.Event()
        self._expected = expected

    @property
    def again(self) -> int:
        """How many came that were there before."""
        return sum(self.copies.values()) - len(self.copies)

    async def consume(self, deliveries: Subscription) -> None:
        """Take what comes, until cancelled."""
        async for delivery in deliveries:
            if delivery.message_id is None or not delivery.message_id.startswith(OURS):
                await delivery.ack()
                continue
            if delivery.message_id not in self.copies:
                self.first.append(delivery.message_id)
            self.copies[delivery.message_id] += 1
            async with delivery.process():
                # The handler is in the middle when the link goes, now and then.
                if len(self.first) % 50 == 0:
                    await asyncio.sleep(0)
            if len(self.first) == self._expected:
                self.complete.set()

    def check(self, expected: Sequence[str]) -> None:
        """See that nothing is missing, and that what came first was in order."""
        disorder = self.disorder(expected)
        assert not disorder, f"{len(disorder)} out of order, first (came, sent) {disorder[:3]}"

    def disorder(self, expected: Sequence[str]) -> list[tuple[str, str]]:
        """See that nothing is missing, and give what came where another was sent."""
        lost = {*expected} - {*self.first}
        assert not lost, f"{len(lost)} lost: {sorted(lost)[:10]}"
        both = zip(self.first, expected, strict=True)
        return [(came, sent) for came, sent in both if came != sent]


@asynccontextmanager
async def consuming(
    subscribers: Mapping[Subscription, Subscriber],
) -> AsyncGenerator[Collection[Subscriber]]:
    """Let subscribers consume during the block; one that fails ends it."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(subscriber.consume(deliveries))
            for deliveries, subscriber in subscribers.items()
        ]
        yield subscribers.values()
        for task in tasks:
            task.cancel()
