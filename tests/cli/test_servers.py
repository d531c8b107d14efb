"""``check``, ``load``, ``dump`` and ``demo`` on real servers: only the conf file is another one."""

import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from asyncbackends.cli import main
from tests.cli.conftest import Run, settings
from tests.data.loads import DATA
from tests.servers.running import Servers

DUMPS = os.environ.get("ASYNCBACKENDS_TEST_DUMPS")
SERVERS = ("postgres", "mysql")
DOCUMENT = DATA / "exim.json"


@pytest.fixture
def site(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Path:
    """Settings of an empty namespace on the server of the parameter ``engine``."""
    engine: str = request.getfixturevalue("engine")
    server = servers.get(engine)
    given = server.settings(namespace=f"cli_{uuid4().hex[:12]}")
    password = tmp_path / "password"
    password.write_text(str(given.pop("password")), "utf-8")
    password.chmod(0o600)
    lines = [f"{name} = {value}" for name, value in given.items()]
    path = tmp_path / f"{engine}.conf"
    path.write_text(
        "\n".join(["[DATABASE]", *lines, f"password_file = {password}"]), encoding="utf-8"
    )
    return path


def dumped(run: Run, conf: Path, output: Path) -> list[bytes]:
    """A dump without its header."""
    assert run("dump", "--conf-file", conf, "--output", output).code == 0
    return output.read_bytes().splitlines()[1:]


@pytest.mark.promise("interchange.load-again-changes-nothing")
@pytest.mark.promise("interchange.dump-load-dump")
@pytest.mark.parametrize("engine", SERVERS)
def test_a_dump_goes_in_and_comes_out(run: Run, site: Path, tmp_path: Path, engine: str) -> None:
    done = run("load", "--conf-file", site, DOCUMENT)
    assert (done.code, done.err) == (0, "")
    again = run("load", "--conf-file", site, DOCUMENT)
    assert "0 created, 0 updated" in again.out
    embedded = settings(tmp_path, "beside")
    assert run("load", "--conf-file", embedded, DOCUMENT).code == 0
    here = dumped(run, site, tmp_path / "here.jsonl")
    assert here == dumped(run, embedded, tmp_path / "beside.jsonl")
    third = settings(tmp_path, "third")
    assert run("load", "--conf-file", third, tmp_path / "here.jsonl").code == 0
    assert dumped(run, third, tmp_path / "third.jsonl") == here


@pytest.mark.promise("interchange.opencontrail-dumps-load")
@pytest.mark.promise("interchange.live-database-loads")
@pytest.mark.parametrize("engine", SERVERS)
def test_a_live_database_loads(
    run: Run, site: Path, tmp_path: Path, engine: str, figure: Callable[[str], None]
) -> None:
    path = DATA / "columns.json" if DUMPS is None else Path(DUMPS, "bulk_sync.json")
    done = run("load", "--conf-file", site, path)
    # The live one has a damaged row.
    assert done.code == (0 if DUMPS is None else 1)
    figure(done.out.splitlines()[-1])
    embedded = settings(tmp_path, "beside")
    run("load", "--conf-file", embedded, path)
    here = dumped(run, site, tmp_path / "here.jsonl")
    assert here == dumped(run, embedded, tmp_path / "beside.jsonl")


@pytest.mark.promise("demo.whole-story")
@pytest.mark.promise("demo.leaves-nothing")
@pytest.mark.parametrize("engine", SERVERS)
def test_check_and_demo(run: Run, site: Path, tmp_path: Path, engine: str) -> None:
    assert run("load", "--conf-file", site, DOCUMENT).code == 0
    before = dumped(run, site, tmp_path / "before.jsonl")
    done = run("check", "--conf-file", site)
    assert done.code == 0, done
    assert engine in done.out
    password = (tmp_path / "password").read_text("utf-8")
    assert password not in done.out + done.err
    done = run("demo", "--conf-file", site)
    assert done.code == 0, done
    assert dumped(run, site, tmp_path / "after.jsonl") == before


@pytest.mark.parametrize("engine", SERVERS)
def test_a_wrong_password_is_one_sentence(site: Path, tmp_path: Path, engine: str) -> None:
    (tmp_path / "password").write_text("another one", "utf-8")
    assert main(["check", "--conf-file", str(site)]) != 0
