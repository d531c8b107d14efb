"""MySQL, unpacked from Debian's newest packages: its stable release has none."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from tests.servers.mariadb import MariaDb
from tests.servers.process import Process
from tests.servers.server import version_in
from tests.servers.sid import Unpacked, cache_folder, unpack

__all__ = ("MySql",)

PACKAGES = ("mysql-server-core", "mysql-client-core")
KEEP = (
    "usr/sbin/mysqld",
    "usr/bin/mysql",
    "usr/share/mysql*",
    "usr/lib/mysql",
    "usr/lib/*/lib*.so.*",
    "usr/lib/*/ossl-modules",
    "usr/lib/*/ld-linux-*",
)


class MySql(MariaDb):
    """One MySQL server; its accounts log in by caching_sha2_password."""

    product = "MySQL"
    packages: ClassVar[Sequence[str]] = ()

    @classmethod
    def version(cls) -> str | None:
        """The version of what is installed; None when it is not."""
        unpacked = _unpacked()
        if not unpacked.is_there:
            return None
        command = [*unpacked.command("usr/sbin/mysqld"), "--no-defaults", "--version"]
        return version_in(command).partition("-")[0]

    @classmethod
    def install(cls) -> None:
        """Put into the cache what apt cannot install."""
        if not _unpacked().is_there:
            unpack(_unpacked().root, PACKAGES, KEEP)

    def _process(self) -> Process:
        self._programs = _unpacked().for_account(self.account, self.folder)
        return super()._process()

    def _prepare(self) -> None:
        self.run(*self._server(), *self._arguments(), "--initialize-insecure")

    def _superuser(self) -> str:
        # Nobody knows its password before it has one, and it has no way in but the socket.
        return "root"

    def _own_options(self) -> dict[str, str]:
        share = self._programs.path("usr/share/mysql")
        return {
            "basedir": str(self._programs.path("usr")),
            "lc-messages-dir": str(share),
            "character-sets-dir": str(share / "charsets"),
            "plugin-dir": str(self._programs.path("usr/lib/mysql/plugin")),
            "secure-file-priv": "",
            "mysqlx": "OFF",
            "auto-generate-certs": "OFF",
        }

    def _server(self) -> Sequence[str | Path]:
        return self._programs.command("usr/sbin/mysqld")

    def _client(self) -> Sequence[str | Path]:
        return self._programs.command("usr/bin/mysql")


def _unpacked() -> Unpacked:
    return Unpacked(cache_folder() / "mysql")
