"""Which engines there are, and which one a test is about."""

from importlib.metadata import EntryPoint

import pytest

from asyncbackends.protocols.backend import Kind
from asyncbackends.registry import installed_engines
from tests.servers.running import engines_that_differ

__all__ = ("asked_engines", "engine_entries", "engine_names", "engine_of")


def engine_entries() -> list[EntryPoint]:
    """The entry points of every kind of engine."""
    return [entry for kind in Kind for entry in installed_engines(kind).values()]


def engine_names() -> list[str]:
    """The names of the installed engines, each once; one engine may serve several kinds."""
    return sorted({entry.name for entry in engine_entries()})


def asked_engines(config: pytest.Config) -> set[str] | None:
    """The engines whose tests are to run: None stands for all of them.

    With the newest servers that nobody named an engine for, those whose server is another one.
    """
    asked: str | None = config.getoption("--engines")
    if asked is not None:
        return {name.strip() for name in asked.split(",")}
    if config.getoption("--servers") == "newest":
        return {*engines_that_differ()} & {*engine_names()}
    return None


def engine_of(item: pytest.Item) -> str | None:
    """The engine that a parameter or the class attribute ``engine`` names, if one does."""
    callspec = getattr(item, "callspec", None)
    candidates = (
        callspec.params.get("engine") if callspec is not None else None,
        getattr(getattr(item, "cls", None), "engine", None),
    )
    return next((name for name in candidates if isinstance(name, str)), None)
