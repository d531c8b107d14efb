"""What is measured of an engine beside its bare driver and what others put over that."""

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from tests.bench.broker_ours import Ours
from tests.bench.broker_rounds import (
    DOCUMENT,
    Client,
    Pair,
    Queue,
    consuming,
    latencies,
    print_latencies,
    print_profile,
    print_target,
    publishing,
)
from tests.bench.side_by_side import print_figures

__all__ = ("Peer", "Targets", "measure")

OPERATIONS = 4000
SECONDS = 2.0

PUBLISH = "ours, publish"
WINDOW = "ours, publish_nowait"
MAPPING = "ours, publish a mapping"
OURS = "ours"

ItemT = TypeVar("ItemT")


class Peer(NamedTuple):
    """Another client of the queue; None is what it cannot or need not do."""

    publish: Client | None
    consume: Client | None
    pair: Pair | None


class Targets(NamedTuple):
    """How often the bare driver's CPU, and its p50, an engine may take."""

    publish: float
    consume: float
    latency: float


async def measure(
    title: str,
    queue: Queue,
    ours: Ours,
    peers: Mapping[str, Peer],
    targets: Targets,
    operations: int = OPERATIONS,
    seconds: float = SECONDS,
) -> None:
    """Measure publishing, consuming and latency; the first peer is the baseline."""
    publishers = {name: peer.publish for name, peer in peers.items() if peer.publish}
    own: dict[str, Client] = {
        PUBLISH: ours.callers(),
        WINDOW: ours.window(),
        MAPPING: ours.callers(DOCUMENT),
    }
    figures = await publishing(_after_the_first(publishers, own), queue, operations)
    print_figures(f"{title}: publish 1 KiB, confirmed, window 200", figures)
    for name in (PUBLISH, WINDOW):
        print_target(f"CPU of {name}", figures[name].cpu, targets.publish)

    consumers = {name: peer.consume for name, peer in peers.items() if peer.consume}
    raw = next(iter(publishers))
    consumers = _after_the_first(consumers, {OURS: ours.consumer()})
    for whose, filler in ((OURS, ours.window()), (raw, publishers[raw])):
        # Ours bear an id, a time and who knows what else, and everybody reads all of it.
        figures = await consuming(consumers, queue, filler, operations)
        name = f"messages as {whose} makes them"
        print_figures(f"{title}: consume and ack 1 KiB, prefetch 200, {name}", figures)
        print_target(f"CPU of {OURS}", figures[OURS].cpu, targets.consume)

    pairs = {name: peer.pair for name, peer in peers.items() if peer.pair}
    delays = await latencies(_after_the_first(pairs, {OURS: ours.pair}), queue, seconds)
    print_latencies(f"{title}: from publish to arrival, 200/s", delays)
    print_target(f"p50 of {OURS}", delays[OURS].ratio, targets.latency)

    await print_profile(f"{title}, publish", ours.callers(), operations)
    await queue.empty()
    async with ours.window()() as fill:
        await fill(operations)
    await print_profile(f"{title}, consume", ours.consumer(), operations)


def _after_the_first(others: Mapping[str, ItemT], own: Mapping[str, ItemT]) -> dict[str, ItemT]:
    first = next(iter(others))
    return {first: others[first], **own, **others}
