"""Every test ends with the tasks, threads and descriptors it began with."""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio

# What was told to end may still be on its way out.
PATIENCE = 2.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tasks of every asynchronous test be counted, in its own loop, before that closes."""
    for item in items:
        marker = item.get_closest_marker("asyncio")
        if marker is not None and isinstance(item, pytest.Function):
            counting = f"no_leaked_tasks_{marker.kwargs.get('loop_scope', 'function')}"
            if counting not in item.fixturenames:
                item.fixturenames.insert(item.fixturenames.index("no_leaks") + 1, counting)


@pytest.fixture(autouse=True)
def no_leaks() -> Generator[None]:
    """Fail a test that leaves a thread or a descriptor behind; its event loop is closed by then."""
    before = _threads() | _descriptors()
    yield
    deadline = time.monotonic() + PATIENCE
    while leaked := (_threads() | _descriptors()) - before:
        if time.monotonic() > deadline:
            pytest.fail(f"left behind: {', '.join(sorted(leaked))}", pytrace=False)
        time.sleep(0.01)


def _no_leaked_tasks(scope: Literal["function", "class", "module"]) -> object:
    """Make the fixture for tests whose event loop has this scope."""

    @pytest_asyncio.fixture(loop_scope=scope)
    async def no_leaked_tasks() -> AsyncGenerator[None]:
        before = asyncio.all_tasks()
        yield
        deadline = time.monotonic() + PATIENCE
        while leaked := asyncio.all_tasks() - before - {asyncio.current_task()}:
            if time.monotonic() > deadline:
                pytest.fail(f"tasks left behind: {', '.join(map(repr, leaked))}", pytrace=False)
            await asyncio.sleep(0.01)

    return no_leaked_tasks


no_leaked_tasks_function = _no_leaked_tasks("function")
no_leaked_tasks_class = _no_leaked_tasks("class")
no_leaked_tasks_module = _no_leaked_tasks("module")


def _threads() -> set[str]:
    try:
        # Native threads are not in threading.enumerate().
        return {f"thread {name}" for name in os.listdir("/proc/self/task")}
    except FileNotFoundError:
        return {f"thread {thread.name}" for thread in threading.enumerate()}


def _descriptors() -> set[str]:
    folder = Path("/proc/self/fd")
    found: set[str] = set()
    for name in os.listdir(folder) if folder.exists() else ():
        # The one that lists the folder is gone already.
        with contextlib.suppress(FileNotFoundError):
            found.add(f"descriptor {name} {os.readlink(folder / name)}")
    return found
