"""``demo``: the whole story, on any engine, leaving nothing behind."""

import io
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncbackends.cli.screen import Screen
from tests.cli.conftest import Run
from tests.data.loads import DATA


def content(run: Run, conf: Path) -> str:
    """A database's objects, without header and schema."""
    return run("dump", "--conf-file", conf).out.split("\n", 1)[1]


def proofs(out: str) -> list[str]:
    return re.findall(r"^   (ok|BROKEN) ", out, re.MULTILINE)


@pytest.mark.promise("demo.whole-story", engines=["sqlite"])
def test_the_demo_needs_nothing_and_is_quick(run: Run, figure: Callable[[str], None]) -> None:
    began = time.monotonic()
    done = run("demo")
    seconds = time.monotonic() - began
    assert done.code == 0, done
    assert proofs(done.out) == ["ok"] * 5
    assert "3 damaged, reported and left out" in done.out
    assert "├─ project team-1" in done.out
    assert "RevisionConflictError" in done.out
    assert "the watch saw update at revision" in done.out
    assert "SIGKILL" in done.out
    assert "all as promised" in done.out
    assert "\x1b" not in done.out
    assert seconds < 8
    figure(f"{seconds:.1f} s")


@pytest.mark.promise("demo.whole-story", engines=["memory"])
def test_on_memory_the_fault_switchboard_kills(run: Run, memory_conf: Path) -> None:
    done = run("demo", "--conf-file", memory_conf)
    assert done.code == 0, done
    assert proofs(done.out) == ["ok"] * 5
    assert "fault switchboard" in done.out


@pytest.mark.promise("demo.leaves-nothing", engines=["sqlite"])
def test_in_a_database_of_somebody_it_leaves_nothing(run: Run, conf: Path) -> None:
    run("load", "--conf-file", conf, DATA / "exim.json")
    before = content(run, conf)
    done = run("demo", "--conf-file", conf)
    assert done.code == 0, done
    assert "taken away again" in done.out
    assert content(run, conf) == before
    assert run("demo", "--conf-file", conf).code == 0


@pytest.mark.promise("demo.leaves-nothing", engines=["sqlite"])
def test_what_is_there_is_not_touched(run: Run, conf: Path) -> None:
    run("load", "--conf-file", conf, DATA / "exim.json")
    before = content(run, conf)
    done = run("demo", "--conf-file", conf, "--dump", DATA / "exim.json")
    assert done.code == 2
    assert "is taken" in done.err
    assert len(done.err.splitlines()) == 1
    assert content(run, conf) == before


def test_it_takes_a_dump_of_its_own_form(run: Run, conf: Path, tmp_path: Path) -> None:
    run("load", "--conf-file", conf, DATA / "columns.json")
    run("dump", "--conf-file", conf, "--output", tmp_path / "own.jsonl")
    done = run("demo", "--dump", tmp_path / "own.jsonl")
    assert done.code == 0, done
    assert "35 objects of 11 types" in done.out


def test_without_settings_the_environment_leads_nowhere_else(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ASYNCBACKENDS_DATABASE__ENGINE", "sqlite")
    monkeypatch.setenv("ASYNCBACKENDS_DATABASE__ENDPOINTS", str(tmp_path / "precious.db"))
    assert run("demo").code == 0
    assert not (tmp_path / "precious.db").exists()


@pytest.mark.promise("cli.one-sentence-for-bad-input")
def test_a_missing_dump_is_one_sentence(run: Run, tmp_path: Path) -> None:
    done = run("demo", "--dump", tmp_path / "missing")
    assert done.code == 2
    assert str(tmp_path / "missing") in done.err
    assert len(done.err.splitlines()) == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return stream


def test_a_terminal_has_colours_and_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = terminal(monkeypatch)
    screen = Screen()
    screen.progress("objects", 5, 10)
    screen.say(screen.paint("done", "green"))
    assert "objects: [###############...............] 5 of 10" in stream.getvalue()
    assert "\x1b[32mdone\x1b[0m" in stream.getvalue()


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    assert Screen().paint("done", "green") == "done"


def test_elsewhere_there_are_neither(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.progress("objects", 5, 10)
    screen.say(screen.paint("done", "green"))
    assert capsys.readouterr() == ("done\n", "")
