"""Another process that writes: `python -m tests.faults.sqlite_process MODE PATH NAME NUMBER`.

Every acknowledged unit is told on stdout, one line each, after its await.
"""

import asyncio
import os
import sys
from uuid import uuid4

from asyncbackends import ConfigDatabase, ObjectType, RefType, Schema, open_config_database

__all__ = ("BATCH", "SCHEMA")

SCHEMA = Schema(
    {
        "project": ObjectType(),
        "network": ObjectType(
            parents=("project",), lists={"servers": None}, refs={"network": RefType()}
        ),
    }
)
BATCH = 5
CONCURRENT = 4


def tell(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def batches(db: ConfigDatabase, name: str) -> None:
    """Write batches for ever: a project and networks in it that refer to one another."""
    number = 0

    async def one() -> None:
        nonlocal number
        number += 1
        unit, project = f"{name}-{number}", str(uuid4())
        networks = [str(uuid4()) for _ in range(BATCH - 1)]
        async with db.batch() as batch:
            batch.object_create("project", project, {"fq_name": [unit]})
            for at, network in enumerate(networks):
                body = {
                    "fq_name": [unit, str(at)],
                    "parent_uuid": project,
                    "servers": ["a", "b"],
                    "network_refs": [{"uuid": other} for other in networks[:at]],
                }
                batch.object_create("network", network, body)
        tell(project, *networks)

    async def worker() -> None:
        while True:
            await one()

    await asyncio.gather(*(worker() for _ in range(CONCURRENT)))


async def creates(db: ConfigDatabase, name: str, number: int) -> None:
    """Write so many objects, several at once."""
    names = iter(range(number))

    async def worker() -> None:
        for at in names:
            uuid = str(uuid4())
            result = await db.object_create("project", uuid, {"fq_name": [f"{name}-{at}"]})
            tell(result.revision, uuid)

    await asyncio.gather(*(worker() for _ in range(CONCURRENT)))


async def main(mode: str, path: str, name: str, number: int) -> None:
    async with open_config_database(engine="sqlite", endpoints=path, schema=SCHEMA) as db:
        tell("open")
        if mode == "batches":
            await batches(db, name)
        else:
            await creates(db, name, number)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
