"""Open every configured backend and try one operation that changes nothing on each."""

import argparse
import asyncio
import os
import time
from typing import Any

import msgspec

from asyncbackends.cli.bystander import without_consuming
from asyncbackends.cli.references import References, find_dangling
from asyncbackends.cli.screen import Screen
from asyncbackends.errors import BackendError, ConfigurationError
from asyncbackends.opening import Opener
from asyncbackends.protocols.backend import Backend, Kind, ServerInfo
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.registry import resolve
from asyncbackends.settings import SECTIONS, Settings, load_settings

__all__ = ("Checked", "add_arguments", "run")

NOT_SHARED = "other processes never see this {}"


class Checked(msgspec.Struct):
    """How one backend is."""

    kind: Kind
    engine: str | None = None
    ok: bool = False
    server: ServerInfo | None = None
    latency_ms: float | None = None
    revision: int | None = None
    session_ttl: float | None = None
    """The seconds that a coordination service granted."""
    guarantees: list[str] | None = None
    notes: list[str] = []
    references: References | None = None
    error: str | None = None
    misconfigured: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--references",
        action="store_true",
        help="also read every object and find parents and refs that lead nowhere",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Check every backend that the settings have a section for."""
    settings = load_settings(arguments.conf_file, os.environ)
    kinds = [kind for kind in Kind if settings.has(kind)]
    if not kinds:
        message = (
            f"no backend is configured: give --conf-file with a section [{SECTIONS[Kind.CONFIG_DATABASE]}],"
            f" or set ASYNCBACKENDS_DATABASE__ENGINE"
        )
        raise ConfigurationError(message)
    # Resolving imports drivers and reads files, so it is done before the loop runs.
    checked = [_resolved(kind, settings) for kind in kinds]
    asyncio.run(_check_all(checked, screen, arguments.references))
    results = [each for each, _ in checked]
    if arguments.json:
        screen.json({"ok": all(each.ok for each in results), "backends": results})
    else:
        _show(results, screen)
    if any(each.misconfigured for each in results):
        return 2
    return 0 if all(each.ok for each in results) else 1


def _resolved(kind: Kind, settings: Settings) -> tuple[Checked, Opener[Backend] | None]:
    each = Checked(kind)
    try:
        opener: Opener[Backend] = Opener(without_consuming(resolve(kind, settings)))
    except BackendError as error:
        _fail(each, error)
        return each, None
    each.engine = opener.resolved.engine.name
    return each, opener


def _fail(each: Checked, error: BackendError) -> None:
    each.ok = False
    each.error = " ".join(str(error).split())
    each.misconfigured = isinstance(error, ConfigurationError)


async def _check_all(
    checked: list[tuple[Checked, Opener[Backend] | None]], screen: Screen, references: bool
) -> None:
    for each, opener in checked:
        if opener is None:
            continue
        try:
            async with opener as backend:
                await _try(each, backend)
                if references and each.kind is Kind.CONFIG_DATABASE:
                    await _find_dangling(each, backend, screen)
        except BackendError as error:
            _fail(each, error)


async def _try(each: Checked, backend: Any) -> None:
    each.server = await backend.server_info()
    began = time.perf_counter()
    if each.kind is Kind.CONFIG_DATABASE:
        each.revision = await backend.current_revision()
    elif each.kind is Kind.COORDINATION:
        await backend.exists("/")
        each.session_ttl = backend.session.ttl
    else:
        await backend.server_info()
    each.latency_ms = round((time.perf_counter() - began) * 1000, 3)
    each.guarantees = sorted(backend.guarantees)
    if Guarantee.SHARED_BETWEEN_PROCESSES not in backend.guarantees:
        each.notes.append(NOT_SHARED.format(each.kind.words))
    each.ok = True


async def _find_dangling(each: Checked, database: Any, screen: Screen) -> None:
    found: ConfigDatabase = database
    each.references = await find_dangling(found, screen.progress)
    each.ok = each.references.dangling_count == 0


def _show(checked: list[Checked], screen: Screen) -> None:
    rows = [
        [
            each.kind.words,
            each.engine or "-",
            "-" if each.server is None else f"{each.server.product} {each.server.version}",
            "-" if each.latency_ms is None else f"{each.latency_ms:.2f} ms",
            "ok" if each.ok else "failed",
        ]
        for each in checked
    ]
    screen.table(["BACKEND", "ENGINE", "SERVER", "LATENCY", "RESULT"], rows)
    for each in checked:
        if each.guarantees is not None:
            screen.say(f"{each.kind.words} guarantees: {', '.join(each.guarantees)}")
        if each.session_ttl is not None:
            screen.say(f"{each.kind.words} session: {each.session_ttl:g} s granted")
        for note in each.notes:
            screen.say(f"{each.kind.words}: {screen.paint(note, 'yellow')}")
        if each.references is not None:
            _show_references(each.references, screen)
        if each.error is not None:
            screen.complain(f"{each.kind.words}: {each.error}")


def _show_references(references: References, screen: Screen) -> None:
    for dangling in references.dangling:
        screen.complain(str(dangling))
    left = references.dangling_count - len(references.dangling)
    if left:
        screen.complain(f"and {left} more")
    screen.say(
        f"references: {references.objects} objects, {references.parents} parents and "
        f"{references.refs} refs looked at, {references.dangling_count} lead nowhere"
    )
