"""Two sorted streams side by side, and work on one of them in bounded flights."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar

from asyncbackends.interchange.stepping import first_error

__all__ = ("chunked", "flown", "merged")

IN_FLIGHT: Final = 4

ItemT = TypeVar("ItemT")
OtherT = TypeVar("OtherT")


async def merged(
    left: AsyncIterator[tuple[str, ItemT]], right: AsyncIterator[tuple[str, OtherT]]
) -> AsyncIterator[tuple[str, ItemT | None, OtherT | None]]:
    """Join two streams of (key, item), each sorted by key; None where one side has no such key."""
    one, other = await anext(left, None), await anext(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one[0] < other[0]):
            assert one is not None  # noqa: S101  # one of the two is left
            yield one[0], one[1], None
            one = await anext(left, None)
        elif one is None or other[0] < one[0]:
            yield other[0], None, other[1]
            other = await anext(right, None)
        else:
            yield one[0], one[1], other[1]
            one, other = await anext(left, None), await anext(right, None)


async def chunked(items: AsyncIterator[ItemT], size: int) -> AsyncIterator[list[ItemT]]:
    """Give the items of a stream, ``size`` at a time."""
    chunk: list[ItemT] = []
    async for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


async def flown(
    items: AsyncIterator[ItemT],
    work: Callable[[ItemT], Awaitable[None]],
    *,
    at_once: int = IN_FLIGHT,
) -> None:
    """Work on the items side by side, a bounded number at a time; the first error ends it."""
    room = asyncio.Semaphore(at_once)

    async def fly(item: ItemT) -> None:
        try:
            await work(item)
        finally:
            room.release()

    try:
        async with asyncio.TaskGroup() as group:
            async for item in items:
                await room.acquire()
                group.create_task(fly(item))
    except BaseExceptionGroup as failures:
        raise first_error(failures) from None
