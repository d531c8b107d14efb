"""Dumps spoiled at random: whatever is wrong with a file, a load ends in order."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyncbackends.interchange.shapes import as_dict, as_list
from tests.cli.conftest import Run, settings
from tests.data.loads import DATA

VALUES: list[Any] = [None, 1, -1.5, "", [], {}, "x", True, [1], {"a": 1}, 2**70, "a\0", "ref:x:y"]
KEYS = ["", "prop:", "ref:a:b", "propl:x:", "propm:", "parent:", "children:x", "uuid", "\0", "type"]


def spoiled(value: Any, chance: random.Random, share: float) -> Any:
    """Exchange some keys and values, also in JSON that is text."""
    if chance.random() < share:
        return chance.choice(VALUES)
    if (items := as_dict(value)) is not None:
        return {
            key if chance.random() > share / 2 else chance.choice(KEYS): spoiled(
                item, chance, share
            )
            for key, item in items.items()
        }
    if (elements := as_list(value)) is not None:
        return [spoiled(item, chance, share) for item in elements]
    if isinstance(value, str) and value[:1] in {"[", "{"} and chance.random() < share * 3:
        return json.dumps(spoiled(json.loads(value), chance, 0.2))
    return value


def spoiled_file(content: bytes, chance: random.Random) -> bytes:
    if chance.random() < 0.3:
        flipped = bytearray(content)
        for _ in range(chance.randint(1, 5)):
            flipped[chance.randrange(len(flipped))] = chance.randrange(256)
        return bytes(flipped)
    if not content.startswith(b'{"format"'):
        share = chance.choice([0.0005, 0.002, 0.01])
        return json.dumps(spoiled(json.loads(content), chance, share)).encode()
    header, *lines = content.splitlines()
    changed = [json.dumps(spoiled(json.loads(line), chance, 0.01)).encode() for line in lines]
    return b"\n".join([header, *changed, b""])


@pytest.mark.promise("cli.one-sentence-for-bad-input")
def test_a_spoiled_dump_never_ends_in_a_traceback(
    run: Run, conf: Path, tmp_path: Path, length: str, figure: Callable[[str], None]
) -> None:
    run("load", "--conf-file", conf, DATA / "exim.json")
    run("dump", "--conf-file", conf, "--output", tmp_path / "own.jsonl")
    sources = [
        path.read_bytes()
        for path in (DATA / "columns.json", DATA / "exim.json", tmp_path / "own.jsonl")
    ]
    tries, codes = 45 if length == "ci" else 900, [0, 0, 0]
    dump, database = tmp_path / "spoiled", tmp_path / "target.db"
    target = settings(tmp_path, "target")
    for seed in range(tries):
        chance = random.Random(seed)  # the same spoiling in every run
        dump.write_bytes(spoiled_file(sources[seed % 3], chance))
        strict = run("load", "--conf-file", target, dump, "--strict")
        codes[strict.code] += 1
        if strict.code == 2:
            assert len(strict.err.splitlines()) == 1, seed
            assert not database.exists(), seed
        if strict.code == 1:
            assert b'"objects":0' in run("dump", "--conf-file", target).out.encode(), seed
        done = run("load", "--conf-file", target, dump)
        assert done.code == strict.code, seed
        for left in tmp_path.glob("target.db*"):
            left.unlink()
    assert min(codes) > 0
    figure(f"{tries} spoiled dumps: {codes[0]} without damage, {codes[1]} with, {codes[2]} refused")
