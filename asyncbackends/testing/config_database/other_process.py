"""What the other process does, when tests need one: ``python -m ... '<JSON>'``.

It prints a line for each thing that it has done and waits to be killed.
"""

import asyncio
import json
import sys
from typing import Any

from asyncbackends.opening import open_config_database
from asyncbackends.testing.config_database.sample import KIT_SCHEMA

__all__ = ("main",)


async def main(order: dict[str, Any]) -> None:
    """Say what is there, then write without end and say each write that was acknowledged."""
    options: dict[str, Any] = {"schema": KIT_SCHEMA, **order["settings"]}
    async with open_config_database(**options) as database:
        found = await database.uuids_to_fq_names([order["uuid"]])
        _say(found.get(order["uuid"]))
        number = 0
        while number < order["writes"]:
            content = {"fq_name": [f"{order['name']}-{number}"], "value": number}
            tag = order["ids"][number]
            result = await database.object_create("tag", tag, content)
            _say([tag, result.revision])
            number += 1
        await asyncio.Event().wait()


def _say(value: Any) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
