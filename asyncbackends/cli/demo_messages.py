"""The steps of the demo on the message broker: a crash, and a message that nobody can handle."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final

from asyncbackends.broker.delivery import Delivery
from asyncbackends.cli.demo_feed import heard_changes
from asyncbackends.cli.demo_ground import Ground
from asyncbackends.cli.demo_guest import Guest
from asyncbackends.cli.demo_stage import Stage
from asyncbackends.cli.demo_steps import Known
from asyncbackends.errors import OperationTimeoutError
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.message_broker import MessageBroker, Subscription
from asyncbackends.protocols.messages import DeathReason, QueueOptions, SubscribeOptions
from asyncbackends.protocols.values import Change, Gap

__all__ = ("show_crash", "show_poison")

PREFETCH: Final = 8
POISON: Final = "POISON"
LIMIT: Final = 3
"""So often a message is delivered before it is given up."""
PATIENCE: Final = 5.0
"""Seconds until a message must have come."""


async def show_crash(
    stage: Stage,
    ground: Ground,
    broker: MessageBroker,
    guest: Guest,
    known: Sequence[Known],
    feed: AsyncIterator[Change | Gap],
) -> None:
    """Tell two subscribers of every change so far, and let one of them crash midway."""
    exchange = f"asyncbackends-demo.{guest.run}.changes"
    steady, frail = f"{exchange}.steady", f"{exchange}.frail"
    with stage.step("Two subscribers are told of every change, one of them crashes"):
        # Made last: when the feed has told of it, it has told of all.
        there = {*(each.uuid for each in known), await guest.make_entry(1)}
        changes = await heard_changes(stage, feed, there | {*guest.entries}, there)
        try:
            await broker.create_exchange(exchange)
            for queue in (steady, frail):
                await broker.create_queue(exchange, queue)
            published = [
                await broker.publish(_notification(change), exchange=exchange) for change in changes
            ]
            stage.count("messages", len(published))
            stage.say(f"{len(published)} messages, one for each; the broker confirmed them all")
            await _follow(stage, broker, exchange, steady, published)
            if Guarantee.REDELIVERS_UNACKED in broker.guarantees:
                await _crash(stage, ground, exchange, frail, published)
            else:
                stage.say("this broker does not deliver again what a crash left: nobody crashes")
        finally:
            # With its queues.
            await broker.delete_exchange(exchange)


async def _follow(
    stage: Stage, broker: MessageBroker, exchange: str, queue: str, published: Sequence[str]
) -> None:
    async with broker.subscribe(exchange, queue) as deliveries:
        came = _ids(await _acked(deliveries, published))
    if Guarantee.ORDERED_PER_PUBLISHER in broker.guarantees:
        line = f"the steady one gets {len(came)}, in the order of publishing"
        stage.prove(line, holds=[*dict.fromkeys(came)] == published)
    else:
        line = f"the steady one gets {len(came)}, none is missing"
        stage.prove(line, holds={*came} == {*published})


def _notification(change: Change) -> Mapping[str, Any]:
    return {
        "oper": change.op.upper(),
        "type": change.obj_type,
        "uuid": change.uuid,
        "revision": change.revision,
    }


async def _crash(
    stage: Stage, ground: Ground, exchange: str, queue: str, published: Sequence[str]
) -> None:
    options = SubscribeOptions(prefetch=PREFETCH)
    async with (
        ground.broker() as client,
        client.subscribe(exchange, queue, options=options) as deliveries,
    ):
        before = await _acked(deliveries, published[: len(published) // 3])
        left = len(published) - len(before)
        held = [await _next(deliveries) for _ in range(min(PREFETCH, left))]
        # It goes as it is: what it holds is neither acked nor given back.
        await client.shutdown(grace=0)
    unacked = _ids(delivery for delivery in held if delivery is not None)
    stage.say(
        f"the frail one acknowledges {len(before)}, takes {len(unacked)} more, and its client"
    )
    stage.say("goes down without an answer to them")
    done = {*_ids(before)}
    async with (
        ground.broker() as client,
        client.subscribe(exchange, queue, options=options) as deliveries,
    ):
        after = await _acked(deliveries, [each for each in published if each not in done])
    again = [each.message_id for each in after if each.redelivered]
    stage.count("redelivered", len(again))
    stage.prove(
        f"it is back: the {len(unacked)} come again, marked redelivered",
        holds={*unacked} <= {*again},
    )
    got = done | {*_ids(after)}
    stage.prove(
        f"none is lost: {len(before)} before and {len(after)} after are the {len(published)}",
        holds=got == {*published},
    )


async def show_poison(stage: Stage, broker: MessageBroker, run: str) -> None:
    """Let a message fail until it is a dead letter."""
    exchange, dead = f"asyncbackends-demo.{run}.work", f"asyncbackends-demo.{run}.dead"
    queue, dead_queue = f"{exchange}.queue", f"{dead}.queue"
    with stage.step("A message that nobody can handle"):
        try:
            await broker.create_exchange(dead)
            await broker.create_queue(dead, dead_queue)
            await broker.create_exchange(exchange)
            options = QueueOptions(max_deliveries=LIMIT, dead_letter=dead)
            await broker.create_queue(exchange, queue, options=options)
            poison = await broker.publish({"oper": POISON}, exchange=exchange)
            stage.count("messages", 1)
            async with (
                broker.subscribe(exchange, queue) as deliveries,
                broker.subscribe(dead, dead_queue) as dead_letters,
            ):
                failures = await _fail(deliveries)
                letters = await _acked(dead_letters, [f"{poison}:{queue}"])
            stage.say(f"its handler fails {failures} times; the queue permits {LIMIT} deliveries")
            deaths = [letter.death for letter in letters if letter.death is not None]
            stage.count("dead letters", len(deaths))
            words = [f"{death.reason}: {death.text}" for death in deaths]
            stage.prove(
                f"it is a dead letter, with the reason: {', '.join(words) or 'it never came'}",
                holds=[(death.reason, death.queue) for death in deaths]
                == [(DeathReason.DELIVERY_LIMIT, queue)]
                and POISON in deaths[0].text,
            )
        finally:
            await broker.delete_exchange(exchange)
            await broker.delete_exchange(dead)


async def _fail(deliveries: Subscription) -> int:
    """Handle a message, in vain, as often as it is delivered; give how often."""
    failures = 0
    while failures < LIMIT and (delivery := await _next(deliveries)) is not None:
        async with delivery.process():
            failures += 1
            raise ValueError(f"nobody knows how to {delivery['oper']}")
    return failures


async def _acked(deliveries: Subscription, wanted: Sequence[str]) -> list[Delivery]:
    """Ack deliveries until all that are wanted came, or nothing comes any more."""
    missing = {*wanted}
    acked: list[Delivery] = []
    while missing and (delivery := await _next(deliveries)) is not None:
        await delivery.ack()
        acked.append(delivery)
        missing.discard(delivery.message_id or "")
    return acked


async def _next(deliveries: Subscription) -> Delivery | None:
    try:
        return await deliveries.get(PATIENCE)
    except OperationTimeoutError:
        return None


def _ids(deliveries: Iterable[Delivery]) -> list[str]:
    return [each.message_id or "" for each in deliveries]
