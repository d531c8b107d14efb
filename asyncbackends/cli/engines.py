"""List the engines that are installed, with what they guarantee and what they can take."""

import argparse
from importlib.metadata import PackageNotFoundError, requires
from typing import Any

import msgspec

from asyncbackends.cli.screen import Screen
from asyncbackends.errors import EngineUnavailableError
from asyncbackends.protocols.backend import Kind
from asyncbackends.registry import find_engine, installed_engines, load_driver

__all__ = ("add_arguments", "run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """List the engines of every kind."""
    found = [_description(kind, name) for kind in Kind for name in installed_engines(kind)]
    if arguments.json:
        screen.json({"engines": found})
        return 0
    for engine in found:
        status = (
            screen.paint("installed", "green")
            if engine["installed"]
            else f"{screen.paint('not installed', 'yellow')}: {engine['problem']}"
        )
        kind = Kind(engine["kind"])
        screen.say(f"{kind.words}: {screen.paint(engine['name'], 'bold')}, {status}")
        if engine["guarantees"] is not None:
            screen.say(f"  guarantees: {', '.join(engine['guarantees'])}")
            screen.say(f"  limits:     {_limits_in_words(kind, engine['limits'])}")
        if engine["needs"]:
            screen.say(f"  needs:      {', '.join(engine['needs'])}")
    if not found:
        screen.say("no engine is installed")
    return 0


def _description(kind: Kind, name: str) -> dict[str, Any]:
    description: dict[str, Any] = {
        "kind": kind.value,
        "name": name,
        "installed": True,
        "problem": None,
        "needs": _python_markers(name),
        "guarantees": None,
        "limits": None,
    }
    try:
        engine = find_engine(kind, name)
        description["guarantees"] = sorted(engine.guarantees)
        description["limits"] = msgspec.to_builtins(engine.limits)
        load_driver(engine)
    except EngineUnavailableError as error:
        description |= {"installed": False, "problem": str(error)}
    return description


def _python_markers(extra: str) -> list[str]:
    """Give the Python versions that an extra's requirements are limited to."""
    try:
        requirements = requires("asyncbackends") or []
    except PackageNotFoundError:
        return []
    markers: set[str] = set()
    for requirement in requirements:
        _, _, marker = requirement.partition(";")
        parts = [part.strip(" ()") for part in marker.split(" and ")]
        if any(part.replace("'", '"') == f'extra == "{extra}"' for part in parts):
            markers |= {
                part.replace("python_version", "Python").replace('"', "").replace("'", "")
                for part in parts
                if part.startswith("python_version")
            }
    return sorted(markers)


def _limits_in_words(kind: Kind, limits: dict[str, int | None]) -> str:
    known = {name: value for name, value in limits.items() if value is not None}
    # Every engine has a default for it, and objects alone have names.
    if kind is not Kind.CONFIG_DATABASE:
        known.pop("fq_name_bytes", None)
    words = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in known.items())
    if known.keys() <= {"fq_name_bytes"}:
        return f"none but {words}" if known else "none"
    return words
