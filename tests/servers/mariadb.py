"""MariaDB, as the machine's distribution has it."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from tests.servers.process import Process
from tests.servers.server import (
    DATABASE,
    HOST,
    DatabaseServer,
    first_program,
    version_in,
)

__all__ = ("MariaDb",)

QUICK = {"innodb_flush_log_at_trx_commit": "0", "sync_binlog": "0"}


class MariaDb(DatabaseServer):
    """One MariaDB server with an ordinary account and a database for it."""

    engine = "mysql"
    product = "MariaDB"
    accounts = ("mysql",)
    packages: ClassVar[Sequence[str]] = ("mariadb-server-core", "mariadb-client-core")

    @classmethod
    def version(cls) -> str | None:
        """The version of what is installed; None when it is not."""
        server = first_program("mariadbd")
        if server is None or first_program("mariadb-install-db") is None:
            return None
        return version_in([server, "--no-defaults", "--version"]).partition("-")[0]

    @property
    def socket(self) -> Path:
        """Where the superuser comes in."""
        return self.folder / "socket"

    def database(self, name: str) -> str:
        """Make a fresh database of this name, in place of the one that has it."""
        self.sql(
            f"DROP DATABASE IF EXISTS `{name}`; CREATE DATABASE `{name}`;"
            f" GRANT ALL ON `{name}`.* TO '{self.username}'@'%'"
        )
        return name

    def sql(self, statement: str, *, database: str = "mysql") -> str:
        """Run statements as the superuser; give rows as lines, their columns split by a tab."""
        return self.run(
            *self._client(),
            *("--no-defaults", "--batch", "--skip-column-names", "--user", self._superuser()),
            *("--socket", self.socket, database),
            give=statement,
        )

    def _process(self) -> Process:
        return Process(
            self.product, [*self._server(), *self._arguments()], self.folder, self.account
        )

    def _arguments(self) -> list[str]:
        options = {
            "datadir": str(self.data),
            "port": str(self.port),
            "bind-address": HOST,
            "socket": str(self.socket),
            "pid-file": str(self.folder / "pid"),
            "tmpdir": str(self.folder),
            "skip-name-resolve": "ON",
            **self._own_options(),
        }
        if self.identity is not None:
            options |= {
                "ssl-cert": str(self.identity.certificate),
                "ssl-key": str(self.identity.key),
                "ssl-ca": str(self.ca),
            }
        options |= {} if self.durable else QUICK
        options |= self.options
        return ["--no-defaults", *(f"--{name}={value}" for name, value in options.items())]

    def _prepare(self) -> None:
        self.run(
            self._program("mariadb-install-db"),
            *("--no-defaults", f"--datadir={self.data}", "--skip-test-db", "--skip-name-resolve"),
            "--auth-root-authentication-method=socket",
            f"--auth-root-socket-user={self.account.name}",
            # In a folder that several share each start removes the others' temporary tables.
            environment={"TMPDIR": str(self.folder)},
        )

    def _furnish(self) -> None:
        demand = " REQUIRE X509" if self.client_certificates else ""
        self.sql(f"CREATE USER '{self.username}'@'%' IDENTIFIED {self._by_password()}{demand}")
        self.database(DATABASE)

    def _by_password(self) -> str:
        return f"BY '{self.password}'"

    def _superuser(self) -> str:
        return self.account.name

    def _own_options(self) -> dict[str, str]:
        # Newer versions make a certificate of their own.
        return {} if self.identity is not None else {"ssl": "OFF"}

    def _server(self) -> Sequence[str | Path]:
        return [self._program("mariadbd")]

    def _client(self) -> Sequence[str | Path]:
        return [self._program("mariadb")]

    def _program(self, name: str) -> Path:
        found = first_program(name)
        if found is None:
            raise FileNotFoundError(f"{name} of {self.product} is not installed")
        return found
