"""The promises as tests/promises.toml states them."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ("CATALOGUE", "CORE", "LENGTHS", "Promise", "read_catalogue")

CATALOGUE = Path("tests", "promises.toml")
CORE = "core"
LENGTHS = ("ci", "soak")


@dataclass(frozen=True)
class Promise:
    """One promise; ``cells`` maps an engine, or ``engine@newest``, to the length that proves it."""

    id: str
    sentence: str
    kinds: tuple[str, ...]
    cells: Mapping[str, str]


def read_catalogue(path: Path) -> dict[str, Promise]:
    """Read and check every promise."""
    with path.open("rb") as file:
        entries = tomllib.load(file)
    return {name: _promise(name, entry) for name, entry in entries.items()}


def _promise(name: str, entry: dict[str, Any]) -> Promise:
    if not re.fullmatch(r"[a-z]+\.[a-z0-9-]+", name):
        raise ValueError(f'promise "{name}": an id is written "area.words-with-dashes"')
    unknown = entry.keys() - {"sentence", "kinds", *LENGTHS}
    if unknown or not str(entry.get("sentence", "")).endswith("."):
        raise ValueError(f'promise "{name}": needs a sentence; unknown keys: {sorted(unknown)}')
    cells = {engine: length for length in LENGTHS for engine in entry.get(length, ())}
    if len(cells) != sum(len(entry.get(length, ())) for length in LENGTHS):
        raise ValueError(f'promise "{name}": an engine is named twice')
    return Promise(name, entry["sentence"], tuple(entry.get("kinds", ())), cells or {CORE: "ci"})
