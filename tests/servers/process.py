"""A server's process: started under an ordinary account, signalled by what it is, never by name."""

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

__all__ = (
    "Account",
    "Process",
    "ServerDidNotStartError",
    "free_port",
    "ordinary_account",
    "remove",
)

# Below the ports that outgoing connections take: one of those could sit on it during a restart.
PORTS = range(20_000, 32_000)
LOG_TAIL = 30
POLL = 0.02
TIME_TO_STOP = 2.0


class ServerDidNotStartError(RuntimeError):
    """A server ended or stayed silent; the message has the end of its log."""


@dataclass(frozen=True)
class Account:
    """Who runs a server; empty when it is whoever runs the tests."""

    name: str
    uid: int
    gid: int
    foreign: bool

    @property
    def user(self) -> int | None:
        """What ``subprocess`` calls it; None changes nothing."""
        return self.uid if self.foreign else None

    @property
    def group(self) -> int | None:
        """What ``subprocess`` calls it; None changes nothing."""
        return self.gid if self.foreign else None

    @property
    def extra_groups(self) -> list[int] | None:
        """What ``subprocess`` calls it; None changes nothing."""
        return [] if self.foreign else None

    def can_execute(self, path: Path) -> bool:
        """Say whether it can run this program, or enter this folder."""
        asked = subprocess.run(
            ["test", "-x", str(path)],
            user=self.user,
            group=self.group,
            extra_groups=self.extra_groups,
            check=False,
        )
        return asked.returncode == 0

    def take(self, path: Path) -> None:
        """Hand a file, or a folder with all that is in it, to the account."""
        if not self.foreign:
            return
        os.chown(path, self.uid, self.gid)
        for inner in path.rglob("*") if path.is_dir() else ():
            os.chown(inner, self.uid, self.gid)


def ordinary_account(*preferred: str) -> Account:
    """Give the caller's own account, or for root the first of these that there is."""
    if os.geteuid() != 0:
        own = pwd.getpwuid(os.geteuid())
        return Account(own.pw_name, own.pw_uid, own.pw_gid, foreign=False)
    for name in (*preferred, "nobody"):
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(name)
            return Account(found.pw_name, found.pw_uid, found.pw_gid, foreign=True)
    raise ServerDidNotStartError(f"servers do not run as root, and there is no account {preferred}")


def free_port() -> int:
    """Give a loopback port that nobody has."""
    # Not the chance that tests have in hand: each run would begin at the same ports.
    for port in random.SystemRandom().sample(PORTS, 200):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ServerDidNotStartError(f"no free port between {PORTS.start} and {PORTS.stop}")


@dataclass
class Process:
    """One server process with all its children; it can be started again after it ended."""

    name: str
    command: Sequence[str | Path]
    folder: Path
    account: Account
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    stop_signal: signal.Signals = signal.SIGTERM
    _popen: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        """What the server prints, over all its starts."""
        return self.folder / "log"

    @property
    def variables(self) -> dict[str, str]:
        """All its environment: none of the caller's variables steers a server."""
        own = {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(self.folder)}
        return own | dict(self.environment)

    @property
    def pid(self) -> int:
        """The process that was started; its children have other ids."""
        return self._running().pid

    @property
    def is_running(self) -> bool:
        """Say whether it has not ended; a frozen one has not."""
        return self._popen is not None and self._popen.poll() is None

    def start(self, serves: Callable[[], bool], patience: float) -> None:
        """Start it and wait until it serves; what does not is ended, and its log shown."""
        if self.is_running:
            raise RuntimeError(f"{self.name} runs already")
        with self.log.open("ab") as log:
            # No pipes: a descriptor kept would count as a leak of the test that starts a server.
            self._popen = subprocess.Popen(
                [str(part) for part in self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self.variables,
                start_new_session=True,
                user=self.account.user,
                group=self.account.group,
                extra_groups=self.account.extra_groups,
            )
        try:
            self._wait(serves, patience)
        except BaseException:
            self.kill()
            raise

    def stop(self, patience: float = 20) -> None:
        """Let it end in order; what is not gone in time is killed. Nothing to do if it has ended."""
        if self.is_running:
            self.thaw()
            running = self._running()
            tree = self._tree()
            running.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(patience)
                _end(tree)
        self.kill()

    def kill(self) -> None:
        """End it and its children at once, as a crash would; returns when none is left."""
        if self._popen is None:
            return
        if self.is_running:
            # It must not have more children after they were counted.
            _end(self._freeze())
        self._popen.wait()
        self._popen = None

    def send_signal(self, number: signal.Signals) -> None:
        """Tell the process that was started, and not its children."""
        self._running().send_signal(number)

    def freeze(self) -> None:
        """Stop it as it stands: it keeps its connections and answers nothing."""
        deadline = time.monotonic() + TIME_TO_STOP
        frozen = self._freeze()
        # Each thread stops when it is next at work, which on a busy machine is after a while.
        while any(map(_still_works, frozen)) and time.monotonic() < deadline:
            time.sleep(0.001)

    def thaw(self) -> None:
        """Let it go on."""
        for process in reversed(self._tree()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

    def _wait(self, serves: Callable[[], bool], patience: float) -> None:
        deadline = time.monotonic() + patience
        while not serves():
            if (code := self._running().poll()) is not None:
                raise self._failure(f"ended with {code}")
            if time.monotonic() > deadline:
                raise self._failure(f"did not serve within {patience:g} s")
            time.sleep(POLL)

    def _freeze(self) -> list[psutil.Process]:
        frozen: list[psutil.Process] = []
        # Children first seen in one round may have had children of their own before it.
        while new := [process for process in self._tree() if process not in frozen]:
            for process in new:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGSTOP)
            frozen += new
        return frozen

    def _tree(self) -> list[psutil.Process]:
        # By parent, not by group: PostgreSQL's children each have a group of their own.
        with contextlib.suppress(psutil.NoSuchProcess):
            top = psutil.Process(self.pid)
            return [top, *top.children(recursive=True)]
        return []

    def _running(self) -> subprocess.Popen[bytes]:
        if self._popen is None:
            raise RuntimeError(f"{self.name} does not run")
        return self._popen

    def _failure(self, what: str) -> ServerDidNotStartError:
        tail = self.log.read_text("utf-8", "replace").splitlines()[-LOG_TAIL:]
        return ServerDidNotStartError("\n".join([f"{self.name} {what}; {self.log}:", *tail]))


def _end(processes: Sequence[psutil.Process]) -> None:
    """Kill them and wait until none is left."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    deadline = time.monotonic() + 10
    while left := [process for process in processes if is_alive(process)]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"killed, but still there: {left}")
        time.sleep(POLL / 4)


def is_alive(process: psutil.Process) -> bool:
    """Say whether it has not ended; nobody may be there to reap an orphan."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it, also while somebody's last file is on its way out."""
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(POLL)
    shutil.rmtree(folder)


def _still_works(process: psutil.Process) -> bool:
    """Say whether a thread has not stopped yet, where the system can tell."""
    for thread in Path(f"/proc/{process.pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):
            if thread.read_text().rpartition(")")[2].split()[0] not in "TtZX":
                return True
    return False
