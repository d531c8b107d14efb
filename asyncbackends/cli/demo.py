"""Show in a few seconds, without a server, what the framework does with a dump.

Without --conf-file it works on sqlite in a temporary folder and looks at no other settings. With
it, it works on that database: under ids and names of its own, which it takes away at the end.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from asyncbackends.cli.demo_guest import Guest, refuse_if_taken, schema_with_guest
from asyncbackends.cli.demo_kill import show_kill
from asyncbackends.cli.demo_steps import Stage, show_conflict, show_load
from asyncbackends.cli.demo_tree import show_subtree
from asyncbackends.cli.screen import Screen
from asyncbackends.interchange.files import DumpFile, Spool
from asyncbackends.interchange.findings import Findings
from asyncbackends.interchange.sources import Source, open_source
from asyncbackends.opening import Opener, open_config_database
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.settings import load_settings

__all__ = ("add_arguments", "run")

SHIPPED_DUMP: Final = Path(__file__).with_name("demo_dump.json")


class _Ground(msgspec.Struct, frozen=True):
    """Where the demo takes place."""

    opener: Opener[ConfigDatabase]
    conf_files: list[str]
    own: bool
    """Nothing but the demo is there, and all of it goes away."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--dump", metavar="FILE", default=str(SHIPPED_DUMP), help="another dump than the small one"
    )


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Run the demo."""
    began = time.perf_counter()
    findings = Findings()
    with (
        _ground(arguments.conf_file) as ground,
        DumpFile(arguments.dump) as dump,
        Spool() as spool,
    ):
        source = open_source(dump, findings)
        for number, _ in enumerate(source.read(), 1):
            screen.progress("reading", number)
        whole = asyncio.run(_play(ground, source, spool, findings, screen))
    screen.say()
    total = f"total {time.perf_counter() - began:.2f} s"
    if whole:
        screen.say(f"{screen.paint('all as promised', 'green')}, {total}")
        return 0
    screen.say(f"{screen.paint('a promise was broken, see above', 'red')}, {total}")
    return 1


@contextmanager
def _ground(conf_files: list[str]) -> Generator[_Ground]:
    if conf_files:
        settings = load_settings(conf_files, os.environ)
        yield _Ground(open_config_database(settings), conf_files, own=False)
        return
    with tempfile.TemporaryDirectory(prefix="asyncbackends-demo-") as folder:
        path = Path(folder, "demo.toml")
        endpoints = json.dumps([str(Path(folder, "demo.db"))])
        path.write_text(f'[DATABASE]\nengine = "sqlite"\nendpoints = {endpoints}\n', "utf-8")
        # Variables of the environment would lead elsewhere: only the file counts.
        yield _Ground(open_config_database(load_settings([path])), [str(path)], own=True)


async def _play(
    ground: _Ground, source: Source, spool: Spool, findings: Findings, screen: Screen
) -> bool:
    async with ground.opener as database:
        stage = Stage(screen, database)
        place = "in a temporary folder" if ground.own else f"as {', '.join(ground.conf_files)} say"
        screen.say(f"{screen.paint('asyncbackends demo', 'bold')}: {database.engine} {place}")
        schema = schema_with_guest(database.schema, source.schema)
        guest = Guest(database)
        await refuse_if_taken(database, schema, source, spool)
        try:
            records = await show_load(stage, source, findings, schema, guest)
            await show_subtree(stage, records)
            await show_conflict(stage, records, guest)
            environment = _environment(own=ground.own)
            await show_kill(stage, guest, ground.conf_files, environment)
        finally:
            if not ground.own:
                await guest.leave(screen)
        return stage.whole


def _environment(*, own: bool) -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not (own and name.startswith("ASYNCBACKENDS_"))
    }
