"""The engine's threads in a process that gevent has patched."""

import pytest

from tests.faults.test_sqlite_processes import output_of

PROGRAM = """
import asyncio, sys, threading, time
import gevent
import gevent.monkey
from asyncbackends import ObjectType, Schema, open_config_database

assert gevent.monkey.is_module_patched("threading")
ticks = 0


def tick():
    global ticks
    while True:
        ticks += 1
        gevent.sleep(0.001)


async def main():
    schema = Schema({"tag": ObjectType()})
    async with open_config_database(engine="sqlite", endpoints=sys.argv[1], schema=schema) as db:
        began = time.monotonic()
        for number in range(200):
            uuid = f"00000000-0000-4000-8000-{number:012d}"
            await db.object_create("tag", uuid, {"fq_name": [uuid]})
        print(f"{time.monotonic() - began:.3f}", end=" ")
        print(await db.object_list("tag", count=True), end=" ")


ticker = gevent.spawn(tick)
asyncio.run(main())
print(ticks)
"""


@pytest.mark.promise("database.threads-beside-gevent", engines=["sqlite"])
@pytest.mark.parametrize("path", ["x.db", ":memory:"])
async def test_200_writes_while_a_greenlet_ticks(tmp_path: object, path: str) -> None:
    target = path if path == ":memory:" else f"{tmp_path}/{path}"
    program = f"{tmp_path}/program.py"
    with open(program, "w", encoding="utf-8") as file:  # noqa: ASYNC230, PTH123  # before it runs
        file.write(PROGRAM)
    told = await output_of("-m", "gevent.monkey", program, target)
    seconds, count, ticks = told.split()
    assert int(count) == 200
    assert int(ticks) > 0
    assert float(seconds) < 10
