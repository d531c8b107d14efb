"""The writer that the demo kills: ``python -m asyncbackends.cli.demo_writer``.

It writes batch after batch and says on standard output what it sends and what was acknowledged.
"""

import argparse
import asyncio
import os
import sys
from typing import Final

from asyncbackends.cli.demo_guest import ENTRY, entry_name, entry_uuid
from asyncbackends.errors import BackendError
from asyncbackends.opening import open_config_database
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.values import CollectionUpdate
from asyncbackends.settings import load_settings

__all__ = ("ACKNOWLEDGED", "FAILED", "SENDING", "main", "write_batch")

SENDING: Final = "sending"
ACKNOWLEDGED: Final = "acknowledged"
FAILED: Final = "failed"
MOST: Final = 1000


async def write_batch(database: ConfigDatabase, run: str, batch: int, size: int) -> None:
    """Write one batch: so many objects, or without ATOMIC_BATCH one object in so many steps."""
    async with database.batch() as unit:
        if Guarantee.ATOMIC_BATCH in database.guarantees:
            for number in range(size):
                content = {"fq_name": entry_name(run, batch, number), "batch": batch}
                unit.object_create(ENTRY, entry_uuid(run, batch, number), content)
            return
        uuid = entry_uuid(run, batch, 0)
        unit.object_create(ENTRY, uuid, {"fq_name": entry_name(run, batch, 0), "batch": batch})
        for number in range(size - 1):
            step = CollectionUpdate("steps", "add", number)
            unit.prop_collection_update(ENTRY, uuid, [step])


async def _write(arguments: argparse.Namespace) -> None:
    settings = load_settings(arguments.conf_file, os.environ)
    async with open_config_database(settings) as database:
        for batch in range(1, MOST):
            _tell(SENDING, batch)
            await write_batch(database, arguments.run, batch, arguments.size)
            _tell(ACKNOWLEDGED, batch)


def _tell(word: str, what: object) -> None:
    print(word, what, flush=True)


def main() -> int:
    """Write until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--conf-file", action="append", default=[])
    parser.add_argument("--run", required=True)
    parser.add_argument("--size", type=int, required=True)
    try:
        asyncio.run(_write(parser.parse_args()))
    except BackendError as error:
        _tell(FAILED, error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
