"""``copy``: codes, sentences, JSON, interrupts, kills."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run, command, settings
from tests.data.generate_dumps import cloud, column_form
from tests.data.loads import DATA

DUMPS = os.environ.get("ASYNCBACKENDS_TEST_DUMPS")
LOADED = DATA / "exim.json"


@pytest.fixture
def source(run: Run, conf: Path) -> Path:
    """Settings of a filled database."""
    assert run("load", "--conf-file", conf, LOADED).code == 0
    return conf


@pytest.fixture
def large(run: Run, conf: Path, tmp_path: Path) -> Path:
    """Settings of one with about 3 000 objects."""
    path = tmp_path / "large.json"
    path.write_text(json.dumps(column_form(cloud("large", projects=15, networks=50))), "utf-8")
    assert run("load", "--conf-file", conf, path).code == 0
    return conf


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return settings(tmp_path, "second")


def dumped(run: Run, conf: Path, *tables: str) -> list[str]:
    """What a database holds, without the revision."""
    names = [argument for table in tables for argument in ("--table", table)]
    done = run("dump", "--conf-file", conf, *names)
    assert done.code == 0
    return done.out.splitlines()[1:]


def test_a_copy_says_what_it_did(run: Run, source: Path, target: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("subnet 1\nabsent\n", "utf-8")
    ends = ["--from", source, "--to", target]
    named = ["--table", "route_target_table", "--texts", keys]
    done = run("copy", *ends, *named)
    assert (done.code, done.err) == (0, "")
    assert "35 objects created" in done.out
    assert "compared 35 objects, 0 shares, 1 rows, 1 texts: equal" in done.out
    assert "the source has no text under 1 of the keys" in done.out
    assert "not looked at: rows of tables that no --table names" in done.out
    assert dumped(run, target, "route_target_table") == dumped(run, source, "route_target_table")
    again = run("copy", *ends, *named)
    assert again.code == 0
    assert "0 objects created, 0 updated, 0 deleted" in again.out


def test_a_copy_as_json(run: Run, source: Path, target: Path) -> None:
    done = run("copy", "--from", source, "--to", target, "--json", "--until-idle", "0.1")
    assert done.code == 0
    report = json.loads(done.out)
    assert (report["equal"], report["objects"], report["written"]["created"]) == (True, 35, 35)
    assert (report["difference_count"], report["differences"]) == (0, [])
    assert report["source"].startswith("sqlite /")
    assert len(report["not_listed"]) == 3
    events = [json.loads(line) for line in done.err.splitlines()]
    assert [each["event"] for each in events if each["event"] != "progress"] == [
        "in_step",
        "finishing",
    ]
    assert {"what": "objects", "done": 35, "total": 35, "event": "progress"} in events
    assert report["seconds"].keys() >= {"copying", "verifying", "pause"}


@pytest.mark.promise("database.copy-verified", engines=["sqlite"])
def test_a_real_database_is_copied(
    run: Run, conf: Path, target: Path, figure: Callable[[str], None]
) -> None:
    path = LOADED if DUMPS is None else Path(DUMPS, "bulk_sync.json")
    # The live one has a damaged row, of which the load says so.
    assert run("load", "--conf-file", conf, path).code == (0 if DUMPS is None else 1)
    began = time.perf_counter()
    done = run("copy", "--from", conf, "--to", target, "--json")
    took = time.perf_counter() - began
    report = json.loads(done.out)
    assert (done.code, report["equal"]) == (0, True)
    assert dumped(run, target) == dumped(run, conf)
    kind = "generated" if DUMPS is None else "live"
    figure(f"{report['objects']} objects of a {kind} database in {took:.2f} s")


@pytest.mark.promise("database.copy-verified", engines=["sqlite"])
def test_a_spoiled_copy_is_named(run: Run, source: Path, target: Path, tmp_path: Path) -> None:
    ends = ["--from", source, "--to", target]
    assert run("copy", *ends).code == 0
    lines = dumped(run, target)
    spoiled = next(line for line in lines if '"type":"virtual_network"' in line)
    record: dict[str, Any] = json.loads(spoiled)
    record["object"]["mtu"] = 77
    header = run("dump", "--conf-file", target).out.splitlines()[0]
    end = json.dumps({"record": "end", "objects": 1})
    (tmp_path / "spoil.jsonl").write_text("\n".join([header, json.dumps(record), end, ""]), "utf-8")
    assert run("load", "--conf-file", target, tmp_path / "spoil.jsonl").code == 0
    dry = run("copy", *ends, "--dry-run")
    assert dry.code == 1
    assert f"differs virtual_network {record['object']['uuid']}" in dry.out
    assert "in mtu" in dry.out
    refused = run("copy", *ends)
    assert refused.code == 2
    assert len(refused.err.splitlines()) == 1
    assert "holds other data" in refused.err
    assert "--replace" in refused.err
    assert run("copy", *ends, "--replace").code == 0
    assert dumped(run, target) == dumped(run, source)


@pytest.mark.promise("database.copy-refuses-foreign-data", engines=["sqlite"])
def test_a_database_is_not_copied_into_itself(run: Run, source: Path, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "first.db")
    (tmp_path / "hard.db").hardlink_to(tmp_path / "first.db")
    before = dumped(run, source)
    for name in ("first", "link", "hard"):
        done = run("copy", "--from", source, "--to", settings(tmp_path, name))
        assert done.code == 2
        assert "one database" in done.err
    assert dumped(run, source) == before
    # Another namespace of one file is another database.
    other = settings(tmp_path, "first", "namespace = other").rename(tmp_path / "other.conf")
    settings(tmp_path, "first")
    assert run("copy", "--from", source, "--to", other).code == 0
    assert dumped(run, other) == before


@pytest.mark.promise("cli.one-sentence-for-bad-input")
def test_arguments_that_cannot_be_used(
    run: Run, source: Path, target: Path, tmp_path: Path
) -> None:
    ends = ["--from", source, "--to", target]
    empty = settings(tmp_path, "empty")
    for arguments, said in (
        (["--from", source], "--to"),
        (["--from", tmp_path / "missing", "--to", target], "missing"),
        (["--from", empty, "--to", target], "no types"),
        (["--from", target, "--to", source], "no types"),
        ([*ends, "--texts", tmp_path / "missing"], "missing"),
        ([*ends, "--table", "asyncbackends.copy"], "its own mark"),
        ([*ends, "--share", "tenant"], "TYPE:ID"),
        ([*ends, "--until-idle", "soon"], "seconds"),
        ([*ends, "--until-idle", "0"], "seconds"),
    ):
        done = run("copy", *arguments)
        assert done.code == 2, arguments
        assert len(done.err.splitlines()) == 1, done.err
        assert said in done.err


def started(*arguments: object) -> subprocess.Popen[bytes]:
    return command("copy", *arguments, "--json")


def wait_for(copying: subprocess.Popen[bytes], event: str, what: str = "") -> None:
    """Wait until a copy tells of something."""
    assert copying.stderr is not None
    for line in copying.stderr:
        told = json.loads(line)
        if told["event"] == event and what in {"", told.get("what")}:
            return
    pytest.fail(f"it ended before {event} {what}")


@pytest.mark.promise("database.copy-goes-on", engines=["sqlite"])
def test_a_copy_that_was_killed_goes_on(
    run: Run, large: Path, target: Path, figure: Callable[[str], None]
) -> None:
    ends = ["--from", large, "--to", target]
    killed = 0
    moments = [("objects", 0.0), ("objects", 0.3), ("refs of objects", 0.1), ("compared", 0.1)]
    for what, pause in moments:
        with started(*ends) as copying:
            wait_for(copying, "progress", what)
            time.sleep(pause)
            killed += copying.poll() is None
            copying.kill()
            copying.communicate()
    assert killed >= 2
    refused = run("copy", "--from", settings(large.parent, "third"), "--to", target)
    assert refused.code == 2
    done = run("copy", *ends, "--json")
    report = json.loads(done.out)
    assert (done.code, report["equal"], report["resumed"]) == (0, True, True)
    assert dumped(run, target) == dumped(run, large)
    figure(f"{killed} kills, {report['objects']} objects equal at the end")


@pytest.mark.promise("database.copy-goes-on", engines=["sqlite"])
def test_an_interrupt_says_where_it_was(run: Run, large: Path, target: Path) -> None:
    ends = ["--from", large, "--to", target]
    with started(*ends) as copying:
        wait_for(copying, "progress", "objects")
        copying.send_signal(signal.SIGINT)
        _, err = copying.communicate(timeout=30)
    assert copying.returncode == 130, err
    last = json.loads(err.splitlines()[-1])
    assert last["event"] == "interrupted"
    assert "objects: " in last["text"]
    assert last["text"].endswith("the same command goes on from there")
    assert run("copy", *ends).code == 0


@pytest.mark.promise("database.copy-beside-writers", engines=["sqlite"])
def test_an_interrupt_ends_following(run: Run, source: Path, target: Path) -> None:
    with started("--from", source, "--to", target, "--follow") as copying:
        wait_for(copying, "in_step")
        # Another process writes, then stops.
        done = run("load", "--conf-file", source, DATA / "columns.json")
        assert done.code == 0
        copying.send_signal(signal.SIGINT)
        out, err = copying.communicate(timeout=30)
    assert copying.returncode == 0, err
    report = json.loads(out)
    assert (report["equal"], report["seconds"]["pause"] < 10) == (True, True)
    assert dumped(run, target) == dumped(run, source)


def test_a_failure_says_how_to_go_on(run: Run, source: Path, tmp_path: Path) -> None:
    target = settings(tmp_path, "second")
    target.write_text(target.read_text("utf-8").replace("second.db", "nowhere/second.db"), "utf-8")
    done = run("copy", "--from", source, "--to", target)
    assert done.code in {1, 2}
    assert done.err.startswith("asyncbackends: the target: ")
    assert len(done.err.splitlines()) == 1
