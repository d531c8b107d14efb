"""Copy a configuration database into another one, of whatever engine, while it is written to.

Verified at the end by a hash of each object; running it again goes on where it stopped.
"""

import argparse
import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from asyncbackends.cli.copy_telling import Operator, Telling, report_json, show_report
from asyncbackends.cli.screen import Screen
from asyncbackends.errors import BackendError, ConfigurationError, InvalidRequestError
from asyncbackends.interchange.copying import Copy, CopyReport, Plan
from asyncbackends.interchange.copying_beside import SideData
from asyncbackends.interchange.copying_claim import SAME, TABLE
from asyncbackends.interchange.copying_sides import PATIENCE, Side
from asyncbackends.opening import Opener
from asyncbackends.protocols.backend import Kind
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.registry import Resolved, resolve
from asyncbackends.settings import load_settings

__all__ = ("add_arguments", "run")

INTERRUPTED: Final = 130
GOES_ON: Final = "the same command goes on from there"
WINDOW: Final = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    for option, name in (("--from", "source"), ("--to", "target")):
        parser.add_argument(
            option,
            dest=name,
            action="append",
            required=True,
            metavar="FILE",
            help=f"settings whose [DATABASE] is the {name}; several are read in order",
        )
    parser.add_argument(
        "--follow",
        action="store_true",
        help="go on copying changes until Ctrl-C, or Enter on a terminal; then verify and end",
    )
    parser.add_argument(
        "--until-idle",
        type=_seconds,
        metavar="SECONDS",
        help="follow until there was no change for so long",
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="take away what the target holds and the source does not",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="write nothing, say what differs between the two"
    )
    parser.add_argument(
        "--table",
        action="append",
        default=[],
        metavar="NAME",
        help="also copy this key-value table; a database cannot list their names",
    )
    parser.add_argument(
        "--share",
        action="append",
        default=[],
        type=_share,
        metavar="TYPE:ID",
        help="also copy what is shared with it; global shares, and those that perms2 of objects"
        " name, are copied anyway",
    )
    parser.add_argument(
        "--texts",
        metavar="FILE",
        help="also copy these texts of the useragent store, a key a line",
    )
    parser.add_argument(
        "--patience",
        type=_seconds,
        default=PATIENCE,
        metavar="SECONDS",
        help="for so long try again when a database does not answer (%(default)g)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON; progress as JSON lines on standard error"
    )


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Copy one configured database into the other."""
    source, target = _resolved("source", arguments.source), _resolved("target", arguments.target)
    labels = _label(source), _label(target)
    if labels[0] == labels[1] or _is_one_file(source.endpoints, target.endpoints):
        raise ConfigurationError(f"{SAME}: {labels[0]}")
    telling = Telling(screen, as_json=arguments.json)
    plan = Plan(
        side_data=_side_data(arguments),
        replace=arguments.replace,
        follow=arguments.follow or arguments.until_idle is not None,
        until_idle=arguments.until_idle,
        window=max(WINDOW, 3 * getattr(source.options, "poll_interval", 0.0)),
    )
    work = _copy((source, target), labels, plan, telling, arguments)
    try:
        report = asyncio.run(work)
    except KeyboardInterrupt:
        telling.event("interrupted", f"asyncbackends: interrupted{telling.where}; {GOES_ON}")
        return INTERRUPTED
    except (ConfigurationError, InvalidRequestError):
        raise
    except BackendError as error:
        error.args = (f"{error}{telling.where}; {GOES_ON}",)
        raise
    if arguments.json:
        screen.json(report_json(report, *labels, wrote=not arguments.dry_run))
    else:
        show_report(report, *labels, screen, wrote=not arguments.dry_run)
    return 1 if report.differences.count else 0


async def _copy(
    resolved: tuple[Resolved, Resolved],
    labels: tuple[str, str],
    plan: Plan,
    telling: Telling,
    arguments: argparse.Namespace,
) -> CopyReport:
    async with AsyncExitStack() as stack:
        patience = arguments.patience
        opened = await _opened(stack, "source", resolved[0])
        source = Side("source", opened, labels[0], telling, patience=patience)
        opened = await _opened(stack, "target", resolved[1])
        target = Side("target", opened, labels[1], telling, patience=patience)
        copy = Copy(source, target, plan, telling)
        if arguments.dry_run:
            return await copy.compare()
        telling.operator = Operator(copy.stop)
        stack.callback(telling.operator.leave)
        return await copy.run()


async def _opened(stack: AsyncExitStack, role: str, resolved: Resolved) -> ConfigDatabase:
    opener: Opener[ConfigDatabase] = Opener(resolved)
    try:
        return await stack.enter_async_context(opener)
    except BackendError as error:
        error.args = (f"the {role}: {error}",)
        raise


def _resolved(role: str, files: list[str]) -> Resolved:
    try:
        return resolve(Kind.CONFIG_DATABASE, load_settings(files, os.environ))
    except ConfigurationError as error:
        error.args = (f"the {role}, {', '.join(files)}: {error}",)
        raise


def _label(resolved: Resolved) -> str:
    """Say which database it is: by its engine, endpoints and where in them, never a credential."""
    endpoints = ",".join(sorted(map(_endpoint, resolved.endpoints)))
    names = [getattr(resolved.options, name, "") for name in ("database", "keyspace", "namespace")]
    return " ".join(filter(None, [resolved.engine.name, endpoints, "/".join(filter(None, names))]))


def _endpoint(endpoint: str) -> str:
    """Give a path as it is called from everywhere."""
    path = Path(endpoint)
    return str(path.resolve()) if path.exists() else endpoint


def _is_one_file(source: Sequence[str], target: Sequence[str]) -> bool:
    """Say whether a file is given under two names, as a hard link: to open both would harm it."""
    files = [(Path(one), Path(other)) for one in source for other in target]
    return any(
        one.exists() and other.exists() and one.samefile(other) and one.resolve() != other.resolve()
        for one, other in files
    )


def _side_data(arguments: argparse.Namespace) -> SideData:
    if TABLE in arguments.table:
        raise ConfigurationError(f"--table {TABLE}: that is where a copy keeps its own mark")
    texts: list[str] = []
    if arguments.texts is not None:
        try:
            texts = Path(arguments.texts).read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            message = f"cannot read the keys of texts {arguments.texts}: {error}"
            raise ConfigurationError(message) from error
    return SideData(
        tables=tuple(arguments.table),
        shares=tuple(arguments.share),
        texts=tuple(filter(None, texts)),
    )


def _share(text: str) -> tuple[str, str]:
    share_type, separator, share_id = text.partition(":")
    if not (share_type and separator and share_id):
        raise argparse.ArgumentTypeError(f"{text!r} is not TYPE:ID, such as tenant:1234")
    return share_type, share_id


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 86400 * 365:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds
