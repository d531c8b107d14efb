"""What the other process does, when tests need one: ``python -m ... '<JSON>'``.

It prints a line for each thing that it has done and waits to be killed.
"""

import asyncio
import json
import sys
from typing import Any

from asyncbackends.errors import NodeNotFoundError
from asyncbackends.opening import open_coordination
from asyncbackends.recipes.lock import Lock
from asyncbackends.testing.coordination.fixtures import Coordination

__all__ = ("main",)


async def main(order: dict[str, Any]) -> None:
    """Do what was ordered, as long as nobody kills it."""
    async with open_coordination(**order["settings"]) as coordination:
        if "lock" in order:
            await _lock(coordination, order["lock"])
        else:
            await _write(coordination, order["root"], order["writes"])


async def _lock(coordination: Coordination, path: str) -> None:
    """Say the fence of a lock when it is held."""
    async with Lock(coordination, path) as held:
        _say(held.fence.order)
        await asyncio.Event().wait()


async def _write(coordination: Coordination, root: str, writes: int) -> None:
    """Say what is there, then write and say each write that was acknowledged."""
    try:
        _say((await coordination.read_node(f"{root}/here")).decode())
    except NodeNotFoundError:
        _say(None)
    await coordination.create_node(f"{root}/ephemeral", ephemeral=True)
    ticket = await coordination.contend(f"{root}/queue")
    _say([ticket.session_id, ticket.order])
    for number in range(writes):
        stat = await coordination.create_node(f"{root}/{number}", str(number))
        _say(stat.created_revision)
    await asyncio.Event().wait()


def _say(value: Any) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
