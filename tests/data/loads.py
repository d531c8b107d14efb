"""Loads and dumps as the command line does them, in one call each."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from asyncbackends import ConfigDatabase, Schema, open_config_database
from asyncbackends.interchange.dumping import Dumper
from asyncbackends.interchange.files import DumpFile, Spool
from asyncbackends.interchange.findings import Findings
from asyncbackends.interchange.loads import Load, Loaded, load_dump
from asyncbackends.interchange.records import to_line
from asyncbackends.interchange.sources import open_source

__all__ = ("DATA", "ENGINES", "dump_lines", "load_file", "open_database", "write_dump")

DATA = Path(__file__).parent
ENGINES = ("memory", "sqlite")


def open_database(
    engine: str, folder: Path, name: str = "first"
) -> AbstractAsyncContextManager[ConfigDatabase]:
    """A database of its own for a test."""
    endpoints = {"memory": f"{folder.name}-{name}", "sqlite": str(folder / f"{name}.db")}
    return open_config_database(engine=engine, endpoints=endpoints[engine])


async def load_file(
    database: ConfigDatabase,
    path: Path,
    *,
    schema: Schema | None = None,
    strict: bool = False,
) -> tuple[Loaded, Findings]:
    """Load a dump; give what became of it and what was found in it."""
    findings = Findings()
    loop = asyncio.get_running_loop()
    with Spool() as spool, await loop.run_in_executor(None, DumpFile, str(path)) as dump:
        source = await loop.run_in_executor(None, open_source, dump, findings)
        await loop.run_in_executor(None, lambda: list(source.read()))
        load = Load(source, findings, schema, strict=strict)
        return await load_dump(database, load, spool, lambda what, done, total: None), findings


async def dump_lines(database: ConfigDatabase) -> list[bytes]:
    """Dump a database; without the header, which holds the revision."""
    return [to_line(record) async for record in Dumper(database).records()][1:]


async def write_dump(database: ConfigDatabase, path: Path) -> None:
    """Dump a database into a file."""
    lines = [to_line(record) async for record in Dumper(database).records()]
    await asyncio.get_running_loop().run_in_executor(None, path.write_bytes, b"".join(lines))
