"""Frames of a watch are taken in their order, a few in each turn of the loop."""

import asyncio

import pytest

from asyncbackends_nats.tree import backlog as module
from asyncbackends_nats.tree.backlog import AT_ONCE, Backlog, Frame

FRAMES: list[Frame] = [(b"%d" % number, b"", b"", b"body") for number in range(3 * AT_ONCE + 1)]


async def test_frames_are_taken_in_order_and_others_have_their_turn() -> None:
    taken: list[Frame] = []
    backlog = Backlog(taken.append)
    for frame in FRAMES:
        backlog.put(frame)
    assert taken == []
    counts: list[int] = []
    while len(taken) < len(FRAMES):
        await asyncio.sleep(0)
        counts.append(len(taken))
    assert taken == FRAMES
    assert counts == [AT_ONCE, 2 * AT_ONCE, 3 * AT_ONCE, len(FRAMES)]


async def test_nothing_is_taken_after_the_end_also_of_one_turn() -> None:
    taken: list[Frame] = []

    def take(frame: Frame) -> None:
        taken.append(frame)
        if len(taken) == 3:
            backlog.close()

    backlog = Backlog(take)
    for frame in FRAMES:
        backlog.put(frame)
    for _ in range(5):
        await asyncio.sleep(0)
    assert taken == FRAMES[:3]


async def test_no_more_bytes_wait_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 40)
    taken: list[Frame] = []
    backlog = Backlog(taken.append)
    for frame in FRAMES[:15]:
        backlog.put(frame)
    assert taken == FRAMES[:5]
    await asyncio.sleep(0)
    assert taken == FRAMES[:15]
