"""Work in steps and side by side, so that the loop goes on and a bound holds."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar, cast

__all__ = ("batches", "drained", "first_error", "together")

ItemT = TypeVar("ItemT")


async def batches(items: Iterator[ItemT], size: int) -> AsyncIterator[list[ItemT]]:
    """Give the items of an iterator that reads files or works long, ``size`` at a time."""
    loop = asyncio.get_running_loop()
    while batch := await loop.run_in_executor(None, lambda: list(islice(items, size))):
        yield batch


async def drained(items: Iterator[object], size: int) -> AsyncIterator[int]:
    """Run an iterator for its effects; gives the number of items so far, every ``size``."""
    done = 0
    async for batch in batches(items, size):
        done += len(batch)
        yield done


async def together(calls: Sequence[Coroutine[Any, Any, ItemT]]) -> list[ItemT]:
    """Await calls side by side; when one fails the others are cancelled and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except BaseExceptionGroup as failures:
        raise first_error(failures) from None
    return [task.result() for task in tasks]


def first_error(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """Give the first error of a group that task groups nested."""
    first = failures.exceptions[0]
    if isinstance(first, BaseExceptionGroup):
        return first_error(cast("BaseExceptionGroup[BaseException]", first))
    return first
