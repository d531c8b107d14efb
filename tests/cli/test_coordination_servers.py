"""``check`` and ``demo`` on real coordination services: only the conf file is another one."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from asyncbackends import open_backends
from tests.cli.conftest import Run
from tests.servers.process import free_port
from tests.servers.running import Servers

SERVICES = ("zookeeper", "etcd", "nats")
PROOFS = 14


@pytest.fixture
def site(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Path:
    """Settings of a service on the server of the parameter ``engine``, and a database beside it."""
    engine: str = request.getfixturevalue("engine")
    given = servers.get(engine).settings(namespace=f"cli_{uuid4().hex[:12]}")
    path = tmp_path / "site.conf"
    database = ["[DATABASE]", "engine = sqlite", f"endpoints = {tmp_path / 'site'}.db"]
    service = [
        "[DISTRIBUTED_COORDINATION]",
        *(f"{name} = {value}" for name, value in given.items()),
    ]
    path.write_text("\n".join([*database, "", *service]), encoding="utf-8")
    return path


def what_is_there(site: Path) -> list[str]:
    """Name the nodes below the namespace's root."""

    async def names() -> list[str]:
        async with open_backends(site) as backends:
            return await backends.coordination.get_children("/")

    return asyncio.run(names())


@pytest.mark.promise("demo.whole-story")
@pytest.mark.promise("demo.leaves-nothing")
@pytest.mark.parametrize("engine", SERVICES)
def test_check_and_demo(
    run: Run, servers: Servers, site: Path, engine: str, figure: Callable[[str], None]
) -> None:
    before = what_is_there(site)
    done = run("check", "--conf-file", site, "--json")
    assert done.code == 0, done
    checked = {each["kind"]: each for each in json.loads(done.out)["backends"]}
    service = checked["coordination"]
    assert service["engine"] == engine
    assert service["server"]["version"] == servers.get(engine).version()
    assert {"expiring_sessions", "fencing_tokens"} <= {*service["guarantees"]}
    done = run("demo", "--conf-file", site)
    assert done.code == 0, done
    assert re.findall(r"^   (ok|BROKEN) ", done.out, re.MULTILINE) == ["ok"] * PROOFS
    assert f"coordination service: {engine}, as the settings say" in done.out
    assert "its client goes down, and its session ends" in done.out
    assert "the late write is refused: StaleFenceError" in done.out
    assert what_is_there(site) == before
    figure(f"{engine} {servers.get(engine).version()}: {PROOFS} proofs on the real service")


@pytest.mark.parametrize("engine", SERVICES)
def test_a_service_that_is_not_there_is_one_sentence(
    run: Run, servers: Servers, site: Path, engine: str
) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    text = site.read_text("utf-8").replace(servers.get(engine).endpoint, nobody)
    site.write_text(text, "utf-8")
    done = run("check", "--conf-file", site)
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith("coordination service: ")
    assert nobody in done.err
