"""``check``, ``demo`` and remote calls on real brokers: only the conf file is another one."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from asyncbackends import open_backends
from asyncbackends.rpc import RpcClient, RpcServer
from tests.cli.conftest import Run
from tests.servers.nats import Nats
from tests.servers.process import free_port
from tests.servers.rabbitmq import RabbitMq
from tests.servers.running import Servers

BROKERS = ("rabbitmq", "nats")
PROOFS = 14


@pytest.fixture
def site(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Path:
    """Settings of a broker on the server of the parameter ``engine``, and a database beside it."""
    engine: str = request.getfixturevalue("engine")
    given = servers.get(engine).settings(namespace=f"cli_{uuid4().hex[:12]}")
    secret = tmp_path / "password"
    if "password" in given:
        secret.write_text(str(given.pop("password")), "utf-8")
        secret.chmod(0o600)
        given["password_file"] = secret
    path = tmp_path / "site.conf"
    database = ["[DATABASE]", "engine = sqlite", f"endpoints = {tmp_path / 'site'}.db"]
    broker = ["[MESSAGE_BROKER]", *(f"{name} = {value}" for name, value in given.items())]
    path.write_text("\n".join([*database, "", *broker]), encoding="utf-8")
    return path


def what_is_there(servers: Servers, engine: str) -> list[str]:
    """Name the exchanges, queues and streams of the server."""
    server = servers.get(engine)
    if isinstance(server, RabbitMq):
        return [*server.exchanges(), *server.queues()]
    assert isinstance(server, Nats)
    named: list[str] = server.ask("$JS.API.STREAM.NAMES").get("streams") or []
    # The register of the namespace's queues stays, and is empty.
    return [
        name
        for name in named
        if server.ask(f"$JS.API.STREAM.INFO.{name}")["config"]["subjects"][0].startswith("ab.")
    ]


@pytest.mark.promise("demo.whole-story")
@pytest.mark.promise("demo.leaves-nothing")
@pytest.mark.parametrize("engine", BROKERS)
def test_check_and_demo(
    run: Run,
    servers: Servers,
    site: Path,
    tmp_path: Path,
    engine: str,
    figure: Callable[[str], None],
) -> None:
    before = what_is_there(servers, engine)
    done = run("check", "--conf-file", site, "--json")
    assert done.code == 0, done
    checked = {each["kind"]: each for each in json.loads(done.out)["backends"]}
    assert checked["message_broker"]["engine"] == engine
    assert checked["message_broker"]["server"]["version"] == servers.get(engine).version()
    assert "survives_process_kill" in checked["message_broker"]["guarantees"]
    told = done.out + done.err
    done = run("demo", "--conf-file", site)
    assert done.code == 0, done
    assert re.findall(r"^   (ok|BROKEN) ", done.out, re.MULTILINE) == ["ok"] * PROOFS
    assert f"message broker: {engine}, as the settings say" in done.out
    assert "marked redelivered" in done.out
    assert "delivery_limit: ValueError: nobody knows how to POISON" in done.out
    assert "taken away again" in done.out
    told += done.out + done.err
    if (tmp_path / "password").exists():
        assert (tmp_path / "password").read_text("utf-8") not in told
    assert what_is_there(servers, engine) == before
    figure(f"{engine} {servers.get(engine).version()}: {PROOFS} proofs on the real broker")


@pytest.mark.promise("rpc.call-and-reply")
@pytest.mark.parametrize("engine", BROKERS)
def test_calls_by_conf_file_only(site: Path, engine: str) -> None:
    backends = open_backends(site)

    async def calls() -> list[int]:
        async def add(first: int, second: int) -> int:
            return first + second

        async with (
            backends as there,
            RpcServer(there.broker, "sums", {"add": add}),
            RpcClient(there.broker, "sums") as sums,
        ):
            assert there.broker.engine == engine
            made = [sums.call("add", {"first": n, "second": n}, timeout=10) for n in range(50)]
            return [int(each) for each in await asyncio.gather(*made)]

    assert asyncio.run(calls()) == [2 * n for n in range(50)]


@pytest.mark.parametrize("engine", BROKERS)
def test_a_broker_that_is_not_there_is_one_sentence(
    run: Run, servers: Servers, site: Path, engine: str
) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    text = site.read_text("utf-8").replace(servers.get(engine).endpoint, nobody)
    site.write_text(text, "utf-8")
    done = run("check", "--conf-file", site)
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith("message broker: ")
    assert nobody in done.err
