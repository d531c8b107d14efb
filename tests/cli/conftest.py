"""Runs the command line in this process, or in one of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from asyncbackends.cli import main

__all__ = ("Done", "Run", "command")


class Done(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command here; no failure may show a traceback."""

    def running(*arguments: object) -> Done:
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Done(code, out, err)

    return running


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """Settings of a sqlite database that is not there yet."""
    return settings(tmp_path, "first")


@pytest.fixture
def memory_conf(tmp_path: Path) -> Path:
    path = tmp_path / "memory.conf"
    path.write_text(f"[DATABASE]\nengine = memory\nendpoints = {tmp_path.name}\n", "utf-8")
    return path


@pytest.fixture
def all_memory_conf(tmp_path: Path) -> Path:
    """Settings of all kinds, each on memory under the name of the folder."""
    path = tmp_path / "all.conf"
    sections = ("DATABASE", "MESSAGE_BROKER", "DISTRIBUTED_COORDINATION")
    lines = [f"[{section}]\nengine = memory\nendpoints = {tmp_path.name}\n" for section in sections]
    path.write_text("".join(lines), "utf-8")
    return path


def settings(folder: Path, name: str, *lines: str) -> Path:
    """Write settings of a sqlite database."""
    path = folder / f"{name}.conf"
    text = ["[DATABASE]", "engine = sqlite", f"endpoints = {folder / name}.db", *lines]
    path.write_text("\n".join(text), "utf-8")
    return path


def command(*arguments: object) -> subprocess.Popen[bytes]:
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "asyncbackends", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # Whoever was started in the background by a shell ignores interrupts, and so would it.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # no threads here
    )
