"""PostgreSQL, as the machine's distribution has it."""

import signal
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

__all__ = ("Postgres",)

# Over TCP everybody needs a password; the superuser comes in by the socket in the server's folder.
HBA = """\
local all {superuser} peer
host all {superuser} all reject
{connection} all all 127.0.0.1/32 scram-sha-256{certificate}
"""
QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def programs() -> Sequence[Path]:
    """Find the folders of the installed versions, the newest first."""
    folders = Path("/usr/lib/postgresql").glob("*/bin")
    return sorted(folders, key=lambda folder: float(folder.parent.name), reverse=True)


class Postgres(DatabaseServer):
    """One PostgreSQL server with an ordinary account and a database for it."""

    engine = "postgres"
    product = "PostgreSQL"
    accounts = ("postgres",)
    packages: ClassVar[Sequence[str]] = ("postgresql",)

    @classmethod
    def version(cls) -> str | None:
        """The version of what is installed; None when it is not."""
        server = first_program("postgres", *programs())
        if server is None or first_program("initdb", *programs()) is None:
            return None
        return version_in([server, "--version"])

    def database(self, name: str) -> str:
        """Make a fresh database of this name, in place of the one that has it."""
        self.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self.sql(f'CREATE DATABASE "{name}" OWNER "{self.username}"')
        return name

    def sql(self, statement: str, *, database: str = "postgres") -> str:
        """Run statements as the superuser; give rows as lines, their columns split by a tab."""
        return self.run(
            self._program("psql"),
            *("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--field-separator=\t"),
            *("--set=ON_ERROR_STOP=1", "--file=-"),
            *("--host", self.folder, "--port", str(self.port), "--dbname", database),
            give=statement,
        )

    def _process(self) -> Process:
        options = {
            "listen_addresses": HOST,
            "unix_socket_directories": str(self.folder),
            "logging_collector": "off",
            "log_destination": "stderr",
            # Among its data: of one that was killed nothing else would be removed.
            "dynamic_shared_memory_type": "mmap",
        }
        if self.identity is not None:
            options |= {
                "ssl": "on",
                "ssl_cert_file": str(self.identity.certificate),
                "ssl_key_file": str(self.identity.key),
                "ssl_ca_file": str(self.ca),
            }
        options |= {} if self.durable else QUICK
        options |= self.options
        return Process(
            self.product,
            [
                self._program("postgres"),
                *("-D", self.data, "-p", str(self.port)),
                *(f"--{name}={value}" for name, value in options.items()),
            ],
            self.folder,
            self.account,
            # The one that waits for nobody's session.
            stop_signal=signal.SIGINT,
        )

    def _prepare(self) -> None:
        self.run(
            self._program("initdb"),
            *("-D", self.data, "-U", self.account.name, "--encoding=UTF8", "--locale=C.UTF-8"),
            *("--no-sync", "--auth-local=peer", "--auth-host=reject"),
        )
        hba = HBA.format(
            superuser=self.account.name,
            connection="hostssl" if self.client_certificates else "host",
            certificate=" clientcert=verify-ca" if self.client_certificates else "",
        )
        (self.data / "pg_hba.conf").write_text(hba, "utf-8")

    def _furnish(self) -> None:
        self.sql(f"CREATE ROLE \"{self.username}\" LOGIN PASSWORD '{self.password}'")
        self.database(DATABASE)

    def _program(self, name: str) -> Path:
        found = first_program(name, *programs())
        if found is None:
            raise FileNotFoundError(f"{name} of {self.product} is not installed")
        return found
