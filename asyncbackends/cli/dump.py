"""Write a whole configuration database as JSON lines, parents before children.

The output file appears only when it is complete.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from asyncbackends.cli.screen import Screen
from asyncbackends.errors import ConfigurationError
from asyncbackends.interchange.dumping import Dumper, count_objects
from asyncbackends.interchange.records import to_line
from asyncbackends.opening import Opener, open_config_database
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.settings import load_settings

__all__ = ("add_arguments", "run")

LINES = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--output", metavar="FILE", help="write there, not to standard output")
    parser.add_argument(
        "--table",
        action="append",
        default=[],
        metavar="NAME",
        help="also dump this key-value table; a database cannot list their names",
    )


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Dump the configured database."""
    opener = open_config_database(load_settings(arguments.conf_file, os.environ))
    with _output(arguments.output) as file:
        return asyncio.run(_dump(opener, file, arguments.table, screen))


async def _dump(
    opener: Opener[ConfigDatabase], file: IO[bytes], tables: list[str], screen: Screen
) -> int:
    loop = asyncio.get_running_loop()
    async with opener as database:
        dumper = Dumper(database, tables=tables)
        total = await count_objects(database)
        lines: list[bytes] = []
        async for record in dumper.records():
            lines.append(to_line(record))
            if len(lines) == LINES:
                await loop.run_in_executor(None, file.write, b"".join(lines))
                lines.clear()
                screen.progress("objects", dumper.objects, total)
        await loop.run_in_executor(None, file.write, b"".join(lines))
        await loop.run_in_executor(None, file.flush)
    if dumper.moved:
        screen.complain(
            "asyncbackends: warning: somebody wrote to the database during the dump;"
            " it is not one state"
        )
    return 0


@contextmanager
def _output(path: str | None) -> Generator[IO[bytes]]:
    """Give standard output, or a file that takes its name when it is complete."""
    if path is None:
        yield sys.stdout.buffer
        return
    target = Path(path)
    if target.exists() and not target.is_file():  # a device, a pipe
        with _opened(target) as file:
            yield file
        return
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        message = f"cannot write the dump {path}: {error.strerror or error}"
        raise ConfigurationError(message) from error
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _opened(target: Path) -> IO[bytes]:
    try:
        return target.open("wb")
    except OSError as error:
        message = f"cannot write the dump {target}: {error.strerror or error}"
        raise ConfigurationError(message) from error
