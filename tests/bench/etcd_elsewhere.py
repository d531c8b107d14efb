"""Works with aetcd in an interpreter that has it and nothing of ours: told by lines of JSON.

Arguments: endpoint, number of keys, value. A line ``[operation, first number, count, at once]`` is
answered by ``[seconds, seconds of CPU]``; the first line only says that it is ready.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

# Only that interpreter has it.
aetcd: Any = import_module("aetcd")


async def main(endpoint: str, keys: int, value: bytes) -> None:
    host, port = endpoint.rsplit(":", 1)
    async with aetcd.Client(host=host, port=int(port)) as client:

        async def create(key: bytes) -> None:
            absent = client.transactions.create(key) == 0
            await client.transaction([absent], [client.transactions.put(key, value)], [])

        async def lock_and_unlock(number: int) -> None:
            async with client.lock(b"/aetcd/lock", ttl=60):
                pass

        for number in range(keys):
            await create(b"/aetcd/read/%d" % number)
        operations: dict[str, Callable[[int], Awaitable[object]]] = {
            "read": lambda number: client.get(b"/aetcd/read/%d" % (number % keys)),
            "create": lambda number: create(b"/aetcd/made/%d" % number),
            "lock and unlock": lock_and_unlock,
        }
        print(json.dumps("ready"), flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            operation, first, count, at_once = json.loads(line)
            spent = await measured(operations[operation], range(first, first + count), at_once)
            print(json.dumps(spent), flush=True)


async def measured(
    operation: Callable[[int], Awaitable[object]], numbers: range, at_once: int
) -> tuple[float, float]:
    items = iter(numbers)

    async def caller() -> None:
        for number in items:
            await operation(number)

    gc.collect()
    gc.disable()
    began, began_cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(at_once)))
    ended, ended_cpu = time.perf_counter(), time.process_time()
    gc.enable()
    return ended - began, ended_cpu - began_cpu


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()))
