"""The servers of the harness: they serve, break and come back as told, and leave nothing."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from tempfile import mkdtemp

import psutil
import pytest

from tests.servers.process import Process, ServerDidNotStartError, is_alive, ordinary_account
from tests.servers.running import PREFIX, Servers
from tests.servers.server import HOST, DatabaseServer

ROOT = Path(__file__).parents[2]
NAMES = ("postgres", "mysql", "rabbitmq", "nats")


@pytest.fixture
def folder(servers: Servers) -> Path:
    """One that the account of a server may work in."""
    folder = Path(mkdtemp(dir=servers.folder))
    ordinary_account().take(folder)
    return folder


def answers(port: int, *, patience: float = 0.5) -> bool:
    """Say whether somebody says a first word; PostgreSQL wants to be asked (for TLS)."""
    with socket.create_connection((HOST, port), timeout=patience) as link:
        link.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")
        try:
            return link.recv(1) != b""
        except TimeoutError:
            return False


# RabbitMQ is started three times, which takes a busy machine half a minute.
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", NAMES)
def test_a_server_breaks_and_comes_back_as_told(servers: Servers, name: str) -> None:
    with servers.fresh(name) as server:
        port, first = server.port, server.process.pid
        tree = [psutil.Process(first), *psutil.Process(first).children(recursive=True)]
        assert answers(port)
        server.freeze()
        assert server.is_running
        assert not answers(port, patience=0.2)
        server.thaw()
        assert answers(port)
        server.kill()
        assert not server.is_running
        assert not any(is_alive(process) for process in tree)
        with pytest.raises(ConnectionRefusedError):
            answers(port)
        server.start()
        server.restart()
        assert (server.port, server.process.pid != first) == (port, True)
        assert answers(port)
        last, folder = server.process.pid, server.folder
    assert not psutil.pid_exists(last)
    assert not folder.exists()


@pytest.mark.parametrize("name", ["postgres", "mysql"])
def test_data_outlive_a_kill_and_not_the_server(servers: Servers, name: str) -> None:
    with servers.fresh(name) as server:
        assert isinstance(server, DatabaseServer)
        server.sql("CREATE TABLE kept (id int); INSERT INTO kept VALUES (7)", database="tests")
        server.kill()
        server.start()
        assert server.sql("SELECT id FROM kept", database="tests").split() == ["7"]
        server.database("tests")
        assert "kept" not in server.sql("SELECT table_name FROM information_schema.tables")


@pytest.mark.parametrize("name", NAMES)
def test_the_runs_server_is_started_once(servers: Servers, name: str) -> None:
    assert servers.get(name) is servers.get(name)
    settings = servers.get(name).settings(namespace="mine")
    assert settings["endpoints"] == f"{HOST}:{servers.get(name).port}"
    assert settings["namespace"] == "mine"


@pytest.mark.parametrize("name", NAMES)
def test_a_server_does_not_run_as_root(servers: Servers, name: str) -> None:
    process = psutil.Process(servers.get(name).process.pid)
    assert 0 not in process.uids()


def test_secrets_are_in_no_process_list(servers: Servers) -> None:
    for name in ("postgres", "mysql", "rabbitmq"):
        server = servers.get(name)
        assert server.password not in " ".join(psutil.Process(server.process.pid).cmdline())
        assert server.password not in repr(server)


def test_a_server_that_does_not_start_shows_its_log(folder: Path) -> None:
    command = ["sh", "-c", "echo no port; exit 3"]
    process = Process("acme", command, folder, ordinary_account())
    with pytest.raises(ServerDidNotStartError, match=r"acme ended with 3;[^$]*no port"):
        process.start(lambda: False, patience=5)
    assert not process.is_running


def test_what_does_not_serve_in_time_is_ended(folder: Path) -> None:
    process = Process("acme", ["sleep", "60"], folder, ordinary_account())
    with pytest.raises(ServerDidNotStartError, match=r"did not serve within 0\.1 s"):
        process.start(lambda: False, patience=0.1)
    assert not process.is_running


def test_a_stop_ends_what_a_server_has_started_and_nothing_else(folder: Path) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    # The second one is deaf to SIGTERM, in a session of its own.
    script = "setsid sh -c 'trap \"\" TERM; sleep 60; sleep 60' & sleep 60"
    process = Process("acme", ["sh", "-c", script], folder, ordinary_account())
    process.start(lambda: True, patience=5)
    try:
        time.sleep(0.2)
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) == 3
        process.stop()
        assert not [child for child in children if is_alive(child)]
        assert stranger.poll() is None
    finally:
        process.kill()
        stranger.kill()
        stranger.wait()


def test_a_run_that_was_killed_is_cleaned_up_by_the_next() -> None:
    script = (
        "from tests.servers.running import Servers\n"
        "servers = Servers(in_memory=True); print(servers.folder)\n"
        "print(servers.get('nats').process.pid, flush=True)\n"
        "import time; time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as run:
        assert run.stdout is not None
        folder, pid = Path(run.stdout.readline().strip()), int(run.stdout.readline())
        run.send_signal(signal.SIGKILL)
    assert folder.name.startswith(PREFIX)
    script = "from tests.servers.running import Servers; Servers().close()"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
    assert not folder.exists()
    assert not psutil.pid_exists(pid) or not is_alive(psutil.Process(pid))
