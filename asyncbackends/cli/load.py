"""Read a dump into a configuration database; running it again goes on where it stopped.

Reads our own form and OpenContrail's two. Damaged rows are listed and left out.
"""

import argparse
import asyncio
import os
import time
from typing import Any

from asyncbackends.cli.screen import Screen
from asyncbackends.interchange.files import DumpFile, Spool
from asyncbackends.interchange.findings import Findings
from asyncbackends.interchange.loads import Load, Loaded, load_dump
from asyncbackends.interchange.sources import open_source
from asyncbackends.opening import Opener, open_config_database
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.schema import Schema
from asyncbackends.settings import load_settings

__all__ = ("add_arguments", "run", "show_findings")

SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("dump", metavar="DUMP", help="the file, - for standard input")
    parser.add_argument(
        "--schema",
        metavar="FILE",
        help="the types, TOML; without it the database's, else the dump's, else inferred",
    )
    parser.add_argument(
        "--strict", action="store_true", help="write nothing if there is any damage"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Load a dump into the configured database."""
    opener = open_config_database(load_settings(arguments.conf_file, os.environ))
    schema = None if arguments.schema is None else Schema.from_toml(arguments.schema)
    findings = Findings()
    began = time.perf_counter()
    with DumpFile(arguments.dump) as dump, Spool() as spool:
        source = open_source(dump, findings)
        for number, _ in enumerate(source.read(), 1):
            screen.progress("reading", number)
        load = Load(source, findings, schema, strict=arguments.strict)
        loaded = asyncio.run(_load(opener, load, spool, screen))
        form = source.form
    seconds = time.perf_counter() - began
    if arguments.json:
        screen.json(_report(loaded, findings, form, seconds))
    else:
        show_findings(findings, screen)
        _show(loaded, form, seconds, screen)
    if findings.damaged_count and arguments.strict:
        count = findings.damaged_count
        screen.complain(f"asyncbackends: nothing was written: {count} damaged, and --strict")
    return 1 if findings.damaged_count else 0


async def _load(opener: Opener[ConfigDatabase], load: Load, spool: Spool, screen: Screen) -> Loaded:
    async with opener as database:
        return await load_dump(database, load, spool, screen.progress)


def show_findings(findings: Findings, screen: Screen) -> None:
    """List what was wrong with a dump."""
    for issue in findings.damaged:
        screen.say(f"{screen.paint('damaged', 'red')} {issue}")
    left = findings.damaged_count - len(findings.damaged)
    if left:
        screen.say(f"and {left} more damaged")
    for kind, issues in sorted(findings.warnings.items()):
        screen.say(f"{screen.paint('warning', 'yellow')} {kind}: {findings.warning_counts[kind]}")
        for issue in issues[:SHOWN]:
            screen.say(f"    {issue}")
        left = findings.warning_counts[kind] - len(issues[:SHOWN])
        if left:
            screen.say(f"    and {left} more")
    for note, times in sorted(findings.notes.items()):
        screen.say(f"{screen.paint('note', 'dim')} {times} {note}")


def _show(loaded: Loaded, form: str, seconds: float, screen: Screen) -> None:
    summary = loaded.summary
    screen.say(f"{form}; schema: {loaded.schema_origin}")
    if summary is None:
        return
    screen.say(
        f"{summary.objects} objects of {loaded.types} types, {summary.parents} parents,"
        f" {summary.refs} refs: {summary.created} created, {summary.updated} updated,"
        f" {summary.unchanged} unchanged, in {seconds:.2f} s"
    )
    beside = {"shares": summary.shares, "rows": summary.rows, "texts": summary.texts}
    if any(beside.values()):
        screen.say(", ".join(f"{count} {what}" for what, count in beside.items() if count))


def _report(loaded: Loaded, findings: Findings, form: str, seconds: float) -> dict[str, Any]:
    return {
        "form": form,
        "schema": loaded.schema_origin,
        "written": loaded.summary is not None,
        "types": loaded.types,
        "objects": 0 if loaded.summary is None else loaded.summary.objects,
        "summary": loaded.summary,
        "damaged_count": findings.damaged_count,
        "damaged": findings.damaged,
        "warning_counts": findings.warning_counts,
        "warnings": findings.warnings,
        "notes": findings.notes,
        "seconds": round(seconds, 3),
    }
