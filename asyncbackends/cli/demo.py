"""Show in a few seconds, without a server, what the framework does with a dump.

Without --conf-file it works on sqlite in a temporary folder and on memory, and looks at no other
settings. With it, it works on what the settings name, and in that way of its own on the kinds that
they have no section for: under ids and names of its own, which it takes away at the end.
"""

import argparse
import asyncio
import logging
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from asyncbackends.cli.demo_ground import Ground, found_ground
from asyncbackends.cli.demo_guest import Guest, refuse_if_taken, schema_with_guest
from asyncbackends.cli.demo_kill import show_kill
from asyncbackends.cli.demo_leader import show_leader
from asyncbackends.cli.demo_messages import show_crash, show_poison
from asyncbackends.cli.demo_stage import Stage
from asyncbackends.cli.demo_steps import show_conflict, show_load
from asyncbackends.cli.demo_tree import show_subtree
from asyncbackends.cli.screen import Screen
from asyncbackends.interchange.files import DumpFile, Spool
from asyncbackends.interchange.findings import Findings
from asyncbackends.interchange.sources import Source, open_source
from asyncbackends.protocols.backend import Kind

__all__ = ("add_arguments", "play", "run")

SHIPPED_DUMP: Final = Path(__file__).with_name("demo_dump.json")


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
        _quiet(),
        found_ground(arguments.conf_file) as ground,
        DumpFile(arguments.dump) as dump,
        Spool() as spool,
    ):
        source = open_source(dump, findings)
        for number, _ in enumerate(source.read(), 1):
            screen.progress("reading", number)
        whole = asyncio.run(play(ground, source, spool, findings, screen))
    screen.say()
    total = f"total {time.perf_counter() - began:.2f} s"
    if whole:
        screen.say(f"{screen.paint('all as promised', 'green')}, {total}")
        return 0
    screen.say(f"{screen.paint('a promise was broken, see above', 'red')}, {total}")
    return 1


@contextmanager
def _quiet() -> Generator[None]:
    """Keep the warnings of what fails on purpose for those who ask with ``--log-level``."""
    logger, nowhere = logging.getLogger("asyncbackends"), logging.NullHandler()
    logger.addHandler(nowhere)
    try:
        yield
    finally:
        logger.removeHandler(nowhere)


async def play(
    ground: Ground, source: Source, spool: Spool, findings: Findings, screen: Screen
) -> bool:
    """Play the story, take everything away again, and say whether every promise held."""
    async with (
        ground.database() as database,
        ground.broker() as broker,
        ground.coordination() as coordination,
    ):
        screen.say(screen.paint("asyncbackends demo", "bold"))
        for kind in Kind:
            screen.say(f"   {ground.words(kind)}")
        schema = schema_with_guest(database.schema, source.schema)
        guest = Guest(database)
        await refuse_if_taken(database, schema, source, spool)
        stage = Stage(screen, database)
        try:
            async with database.watch() as feed:
                known = await show_load(stage, source, findings, schema, guest)
                await show_subtree(stage, known)
                await show_conflict(stage, known, guest)
                await show_kill(stage, guest, ground.files, ground.environment)
                await show_crash(stage, ground, broker, guest, known, feed)
            await show_poison(stage, broker, guest.run)
            await show_leader(stage, ground, coordination, guest)
        finally:
            if not ground.is_own(Kind.CONFIG_DATABASE):
                await guest.leave(screen)
        stage.show_totals()
        return stage.whole
