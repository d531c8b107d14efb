"""``load`` and ``dump``: codes, files, pipes, kills."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncbackends import Schema
from tests.cli.conftest import Run, command, settings
from tests.data.generate_dumps import cloud, column_form
from tests.data.loads import DATA

COLUMNS = DATA / "columns.json"


def lines(path: Path) -> list[bytes]:
    """A dump without its header."""
    return path.read_bytes().splitlines()[1:]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A dump of about 3 000 objects."""
    path = tmp_path / "large.json"
    path.write_text(json.dumps(column_form(cloud("large", projects=15, networks=50))), "utf-8")
    return path


def test_a_load_says_what_it_did(run: Run, conf: Path) -> None:
    done = run("load", "--conf-file", conf, COLUMNS)
    assert done.code == 0
    assert "35 objects of 11 types, 26 parents, 44 refs: 35 created" in done.out
    assert "inferred" in done.out
    again = run("load", "--conf-file", conf, COLUMNS)
    assert again.code == 0
    assert "0 created, 0 updated, 35 unchanged" in again.out


def test_a_load_as_json(run: Run, conf: Path) -> None:
    done = run("load", "--conf-file", conf, DATA / "columns_damaged.json", "--json")
    assert done.code == 1
    report = json.loads(done.out)
    assert report["written"] is True
    assert report["objects"] == 35
    assert report["damaged_count"] == len(report["damaged"]) == 22
    assert all(issue.keys() == {"row", "column", "reason"} for issue in report["damaged"])


@pytest.mark.promise("interchange.damage-is-listed", engines=["sqlite"])
def test_strict_writes_nothing(run: Run, conf: Path, tmp_path: Path) -> None:
    done = run("load", "--conf-file", conf, DATA / "columns_damaged.json", "--strict")
    assert done.code == 1
    assert "damaged no-uuid" in done.out
    assert "nothing was written" in done.err
    run("dump", "--conf-file", conf, "--output", tmp_path / "dump.jsonl")
    assert lines(tmp_path / "dump.jsonl") == [b'{"objects":0,"record":"end"}']


def test_a_schema_restores_wrappers(run: Run, conf: Path, tmp_path: Path) -> None:
    run("load", "--conf-file", conf, COLUMNS)
    run("dump", "--conf-file", conf, "--output", tmp_path / "bare.jsonl")
    schema = json.loads((tmp_path / "bare.jsonl").read_bytes().splitlines()[0])["schema"]
    schema["types"]["alarm"]["lists"]["alarm_rules"] = "or_list"
    (tmp_path / "schema.toml").write_text(Schema.from_dict(schema).to_toml(), "utf-8")
    second = settings(tmp_path, "second")
    done = run("load", "--conf-file", second, COLUMNS, "--schema", tmp_path / "schema.toml")
    assert done.code == 0, done
    dumped = run("dump", "--conf-file", second).out
    assert '"alarm_rules":{"or_list":[' in dumped


@pytest.mark.promise("interchange.dump-load-dump", engines=["sqlite"])
def test_dump_piped_into_load_makes_the_same_database(run: Run, conf: Path, tmp_path: Path) -> None:
    run("load", "--conf-file", conf, DATA / "exim.json")
    second = settings(tmp_path, "second")
    table = ["--table", "route_target_table"]
    with (
        command("dump", "--conf-file", conf, *table) as dumping,
        subprocess.Popen(
            [sys.executable, "-m", "asyncbackends", "load", "--conf-file", str(second), "-"],
            stdin=dumping.stdout,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as loading,
    ):
        out, err = loading.communicate(timeout=30)
        dumping.communicate()
    assert (loading.returncode, err) == (0, b""), out
    for name, settings_file in (("first", conf), ("second", second)):
        output = tmp_path / f"{name}.jsonl"
        assert run("dump", "--conf-file", settings_file, *table, "--output", output).code == 0
    assert lines(tmp_path / "first.jsonl") == lines(tmp_path / "second.jsonl")
    assert b"rtgt_num" in (tmp_path / "second.jsonl").read_bytes()


def test_an_output_file_appears_only_when_it_is_complete(
    run: Run, conf: Path, tmp_path: Path
) -> None:
    run("load", "--conf-file", conf, COLUMNS)
    done = run("dump", "--conf-file", conf, "--output", tmp_path / "nowhere" / "dump.jsonl")
    assert done.code == 2
    assert "nowhere" in done.err
    broken = tmp_path / "broken.conf"
    broken.write_text(conf.read_text("utf-8") + "\nrequire = survives_power_loss\n", "utf-8")
    done = run("dump", "--conf-file", broken, "--output", tmp_path / "dump.jsonl")
    assert done.code == 2
    assert sorted(path.name for path in tmp_path.glob("*dump*")) == []


WHOLE = COLUMNS.read_bytes()
NO_DUMPS = {
    "empty": (b"", "is empty"),
    "blank": (b"\n", "no dump"),
    "text": (b"not JSON at all", "no dump"),
    "object": (b'{"some": "JSON"}', "no known form"),
    "list": (b"[1, 2]", "no known form"),
    "utf-16": (b"\xff\xfe\x00[", "no dump"),
    "half": (WHOLE[: len(WHOLE) // 2], "cut off"),
    "more": (WHOLE + b"more", "not JSON"),
    "deep": (b"[" * 100_000, "no known form"),
}


@pytest.mark.promise("cli.one-sentence-for-bad-input")
@pytest.mark.parametrize("name", NO_DUMPS)
def test_a_file_that_is_no_dump_changes_nothing(
    run: Run, conf: Path, tmp_path: Path, name: str
) -> None:
    content, said = NO_DUMPS[name]
    path = tmp_path / "a dump"
    path.write_bytes(content)
    done = run("load", "--conf-file", conf, path)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert str(path) in done.err
    assert said in done.err
    assert not (tmp_path / "first.db").exists()


@pytest.mark.promise("cli.one-sentence-for-bad-input")
def test_files_that_cannot_be_read_are_one_sentence(run: Run, conf: Path, tmp_path: Path) -> None:
    for arguments in (
        [tmp_path / "missing"],
        [tmp_path],
        [COLUMNS, "--schema", tmp_path / "missing"],
        [COLUMNS, "--schema", COLUMNS],
    ):
        done = run("load", "--conf-file", conf, *arguments)
        assert done.code == 2, arguments
        assert len(done.err.splitlines()) == 1
        assert str(arguments[-1]) in done.err
    assert not (tmp_path / "first.db").exists()


@pytest.mark.promise("cli.one-sentence-for-bad-input")
def test_a_dump_cut_off_anywhere_changes_nothing(run: Run, conf: Path, tmp_path: Path) -> None:
    run("load", "--conf-file", conf, COLUMNS)
    run("dump", "--conf-file", conf, "--output", tmp_path / "own.jsonl")
    (tmp_path / "first.db").unlink()
    for whole in (tmp_path / "own.jsonl", COLUMNS, DATA / "exim.json"):
        content = whole.read_bytes().rstrip()
        line_ends = [at + 1 for at, byte in enumerate(content) if byte == 10][:3]
        for length in [1, 2, 10, *line_ends, *range(20, len(content), len(content) // 8)]:
            path = tmp_path / "cut"
            path.write_bytes(content[:length])
            done = run("load", "--conf-file", conf, path)
            assert done.code == 2, (whole, length, done)
            assert len(done.err.splitlines()) == 1
            assert not (tmp_path / "first.db").exists()


def test_a_closed_pipe_is_no_failure_to_shout_about(run: Run, conf: Path, large: Path) -> None:
    run("load", "--conf-file", conf, large)
    with command("dump", "--conf-file", conf) as dumping:
        assert dumping.stdout is not None
        assert dumping.stderr is not None
        dumping.stdout.read(10)
        dumping.stdout.close()
        assert dumping.wait(timeout=30) == 141
        assert dumping.stderr.read() == b""


def test_an_interrupt_ends_with_130_and_no_traceback(
    conf: Path, large: Path, tmp_path: Path
) -> None:
    with command("load", "--conf-file", conf, large) as loading:
        wait_for(tmp_path / "first.db", loading)
        loading.send_signal(signal.SIGINT)
        _, err = loading.communicate(timeout=30)
    assert loading.returncode == 130, err
    assert err == b"asyncbackends: interrupted\n"


def wait_for(database: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a load writes."""
    deadline = time.monotonic() + 30
    while not database.exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.promise("interchange.killed-load-is-resumed", engines=["sqlite"])
def test_a_load_that_was_killed_is_run_again(
    run: Run, conf: Path, large: Path, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    straight = settings(tmp_path, "straight")
    assert run("load", "--conf-file", straight, large).code == 0
    killed = 0
    for pause in (0.05, 0.1, 0.2, 0.4):
        with command("load", "--conf-file", conf, large) as loading:
            wait_for(tmp_path / "first.db", loading)
            time.sleep(pause)
            killed += loading.poll() is None
            loading.kill()
            loading.communicate()
    assert killed >= 2
    done = run("load", "--conf-file", conf, large)
    assert done.code == 0
    for name, path in (("first", conf), ("straight", straight)):
        run("dump", "--conf-file", path, "--output", tmp_path / f"{name}.jsonl")
    assert lines(tmp_path / "first.jsonl") == lines(tmp_path / "straight.jsonl")
    figure(f"{killed} kills, the same dump as of a load in one go")
