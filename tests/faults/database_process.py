"""Another process that watches: `python -m tests.faults.database_process`, with an order on stdin.

The order is JSON: the settings of the database (in no argument, for it holds a password) and the
revision to go on after. Each change is told on stdout, one line each.
"""

import asyncio
import os
import sys

import msgspec

from asyncbackends import Change, open_config_database


def tell(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def main() -> None:
    order = msgspec.json.decode(sys.stdin.buffer.read())
    async with (
        open_config_database(**order["settings"]) as db,
        db.watch(since=order["since"]) as changes,
    ):
        tell("open")
        async for change in changes:
            assert isinstance(change, Change), change
            tell(change.revision, change.op, change.uuid)


if __name__ == "__main__":
    asyncio.run(main())
