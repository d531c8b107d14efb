"""On which event loop a class runs, and what its tests prove."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import uvloop

from tests.conformance.proofs import promises_of
from tests.conformance.shortened import is_left_out

LOOPS: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}

# With its first loop libuv opens a pipe for the whole process: no test leaves that behind.
uvloop.new_event_loop().close()


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give the loop that the attribute ``event_loop`` of the class names."""
    name = getattr(getattr(item, "cls", None), "event_loop", "asyncio")
    return {name: LOOPS[name]}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only the full length runs, before anybody notes that it was left out."""
    whole = len(items)
    items[:] = [item for item in items if not is_left_out(item)]
    if len(items) < whole:
        _say(config, whole - len(items))


def _say(config: pytest.Config, number: int) -> None:
    output = getattr(config, "workeroutput", None)
    if output is not None:
        # One of several processes: the one that has the terminal says it.
        output["left_out"] = number
        return
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"{number} tests of second drivers and loops: left to --length soak")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Say for the first of several processes what was left out; the others left out the same."""
    number = getattr(node, "workeroutput", {}).get("left_out")
    if number and node.gateway.id == "gw0":
        _say(node.config, number)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what a test of the kit proves."""
    if isinstance(item, pytest.Function) and item.cls is not None:
        for promise in promises_of(item.cls, item.originalname):
            item.add_marker(pytest.mark.promise(promise))
