"""PgBouncer before a PostgreSQL server."""

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tests.servers.postgres import Postgres
from tests.servers.process import Process
from tests.servers.server import HOST, Server, first_program, version_in

__all__ = ("PgBouncer",)

CONFIGURATION = """\
[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr = {host}
listen_port = {own_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
logfile =
pidfile =
"""


class PgBouncer(Server):
    """One PgBouncer in transaction mode, before a server that runs."""

    engine = "postgres"
    product = "PgBouncer"
    accounts = ("postgres",)
    packages: ClassVar[Sequence[str]] = ("pgbouncer",)

    def __init__(
        self,
        upstream: Postgres,
        *,
        options: Mapping[str, str] | None = None,
        parent: Path | None = None,
    ) -> None:
        """Choose port, folder and account; nothing runs yet.

        :param options: lines of its section ``[pgbouncer]``.
        """
        self.upstream = upstream
        super().__init__(options=options, parent=parent)
        # It tells the server that it knows the password, and asks its clients for the same.
        self.username, self.password = upstream.username, upstream.password

    @classmethod
    def version(cls) -> str | None:
        """The version of what is installed; None when it is not."""
        found = first_program("pgbouncer")
        return version_in([found, "--version"]) if found else None

    def settings(self, **others: Any) -> dict[str, Any]:
        """Give the arguments of ``open_config_database`` for a database behind it."""
        return self.upstream.settings(
            **{"endpoints": self.endpoint, "pooler": "transaction", **others}
        )

    def serves(self) -> bool:
        """Say whether it takes connections."""
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((HOST, self.port)) == 0

    def _process(self) -> Process:
        found = first_program("pgbouncer")
        if found is None:
            raise FileNotFoundError(f"{self.product} is not installed")
        command = [found, self.folder / "pgbouncer.ini"]
        return Process(self.product, command, self.folder, self.account)

    def _prepare(self) -> None:
        self.data.mkdir()
        users = self.folder / "users"
        configuration = CONFIGURATION.format(
            host=HOST, port=self.upstream.port, own_port=self.port, users=users
        )
        lines = "".join(f"{name} = {value}\n" for name, value in self.options.items())
        for file, text in (
            (users, f'"{self.username}" "{self.password}"\n'),
            (self.folder / "pgbouncer.ini", configuration + lines),
        ):
            file.touch(mode=0o600)
            file.write_text(text, "utf-8")
        self.account.take(self.folder)

    def _furnish(self) -> None:
        pass
