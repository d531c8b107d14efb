"""What every server of the harness can do, whichever product it is."""

import secrets
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import Any, ClassVar, Self

from tests.servers.certificates import Certificates, Identity
from tests.servers.process import Account, Process, free_port, ordinary_account, remove

__all__ = ("HOST", "CommandFailedError", "DatabaseServer", "Server")

HOST = "127.0.0.1"
USERNAME = "tester"
DATABASE = "tests"


class CommandFailedError(RuntimeError):
    """A command that sets a server up, or asks it something, failed; its output is the message."""


class Server(ABC):
    """One server with its data; ``with`` starts it, and ends it and removes the data."""

    engine: ClassVar[str]
    product: ClassVar[str]
    accounts: ClassVar[Sequence[str]] = ()
    """Who may run it where root asks for it, the first that there is."""
    packages: ClassVar[Sequence[str]] = ()
    """What apt has to install."""
    patience: ClassVar[float] = 30
    is_alone = True
    """Whether it can serve by itself: then a start waits for that."""

    def __init__(
        self,
        *,
        durable: bool = True,
        tls: Certificates | None = None,
        identity: Identity | None = None,
        client_certificates: bool = False,
        options: Mapping[str, str] | None = None,
        parent: Path | None = None,
    ) -> None:
        """Choose port, folder and account; nothing runs yet.

        :param durable: it waits for the disk at each commit.
        :param tls: it offers TLS, with the right certificate.
        :param identity: the certificate it shows instead of the right one.
        :param client_certificates: it demands TLS and a certificate of its clients.
        :param options: of the server itself, as its command line or its configuration names them.
        """
        self.durable = durable
        self.tls = tls
        self.client_certificates = client_certificates
        self.options = dict(options or {})
        self.username = USERNAME
        self.password = secrets.token_urlsafe(18)
        self.port = free_port()
        self.account: Account = ordinary_account(*self.accounts)
        self.folder = Path(mkdtemp(prefix=f"{self.engine}-", dir=parent))
        self.identity: Identity | None = None
        if tls is not None:
            self.identity = self._own(identity or tls.server)
            self.ca = self._copy(tls.ca)
        self.account.take(self.folder)
        self.process = self._process()

    @classmethod
    @abstractmethod
    def version(cls) -> str | None:
        """The version of what is installed; None when it is not."""

    @classmethod
    def install(cls) -> None:
        """Bring what apt cannot; nothing for most."""
        return

    @property
    def endpoint(self) -> str:
        """Where it serves."""
        return f"{HOST}:{self.port}"

    @property
    def data(self) -> Path:
        """The folder of its data."""
        return self.folder / "data"

    def tls_settings(self) -> dict[str, str]:
        """Give what a client is told about TLS; nothing where the server has none."""
        if self.tls is None:
            return {}
        settings = {"tls": "on", "tls_ca_file": str(self.tls.ca)}
        if self.client_certificates:
            settings["tls_cert_file"] = str(self.tls.client.certificate)
            settings["tls_key_file"] = str(self.tls.client.key)
        return settings

    @abstractmethod
    def settings(self, **others: Any) -> dict[str, Any]:
        """Give the arguments that open a backend on it; ``others`` replace or join them."""

    @abstractmethod
    def _process(self) -> Process: ...

    @abstractmethod
    def _prepare(self) -> None:
        """Make the data folder, before the first start."""

    @abstractmethod
    def serves(self) -> bool:
        """Say whether it answers a real request."""

    @abstractmethod
    def _furnish(self) -> None:
        """Make what tests need in it, after the first start."""

    def start(self) -> None:
        """Start it on the data it has; the first start makes them."""
        first = not self.data.exists()
        if first:
            self._prepare()
        self.process.start(self.serves if self.is_alone else _began, self.patience)
        if first:
            self._furnish()

    def stop(self) -> None:
        """Let it end in order."""
        self.process.stop()

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.process.kill()

    def restart(self) -> None:
        """Start it again, on the same data and port; in order if it still runs."""
        self.process.stop()
        self.start()

    def freeze(self) -> None:
        """Let it answer nothing, its connections open (SIGSTOP)."""
        self.process.freeze()

    def thaw(self) -> None:
        """Let a frozen one go on (SIGCONT)."""
        self.process.thaw()

    @property
    def is_running(self) -> bool:
        """Say whether it was started and has not ended; a frozen one has not."""
        return self.process.is_running

    def remove(self) -> None:
        """End it and remove its data."""
        self.process.stop()
        remove(self.folder)

    def run(
        self,
        *command: str | Path,
        environment: Mapping[str, str] | None = None,
        give: str | None = None,
        patience: float = 60,
    ) -> str:
        """Run a command of the product under the server's account and give what it prints."""
        done = subprocess.run(
            [str(part) for part in command],
            input=give if give is not None else "",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=self.process.variables | dict(environment or {}),
            timeout=patience,
            check=False,
            user=self.account.user,
            group=self.account.group,
            extra_groups=self.account.extra_groups,
        )
        if done.returncode:
            name = Path(command[0]).name
            raise CommandFailedError(f"{name} failed with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def _own(self, identity: Identity) -> Identity:
        return Identity(self._copy(identity.certificate), self._copy(identity.key))

    def _copy(self, file: Path) -> Path:
        """Copy a file to where the server's account may read it, and nobody else."""
        return Path(shutil.copy(file, self.folder / file.name))

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()

    def __repr__(self) -> str:
        return f"<{self.product} at {self.endpoint}>"


class DatabaseServer(Server):
    """A server that speaks SQL: it has databases, and a superuser who may do anything."""

    def settings(self, *, database: str = DATABASE, **others: Any) -> dict[str, Any]:
        """Give the arguments of ``open_config_database`` for one of its databases."""
        return {
            "engine": self.engine,
            "endpoints": self.endpoint,
            "username": self.username,
            "password": self.password,
            "database": database,
            **self.tls_settings(),
            **others,
        }

    @abstractmethod
    def database(self, name: str) -> str:
        """Make a fresh database of this name, in place of the one that has it."""

    @abstractmethod
    def sql(self, statement: str, *, database: str = ...) -> str:
        """Run statements as the superuser; give rows as lines, their columns split by a tab."""

    def serves(self) -> bool:
        """Say whether it answers a query."""
        try:
            self.sql("SELECT 1")
        except CommandFailedError:
            return False
        return True


def first_program(name: str, *folders: Path) -> Path | None:
    """Find a program in these folders, else on PATH or where only root has it on PATH."""
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    found = shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
    return Path(found) if found else None


def version_in(command: Sequence[str | Path]) -> str:
    """Run ``program --version`` and give the first word that is one."""
    output = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=True
    ).stdout
    words = (word.strip("v(),;") for word in output.split())
    return next(word for word in words if word[:1].isdigit() and "." in word)


def _began() -> bool:
    return True
