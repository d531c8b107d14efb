"""All servers of one run: each started when it is first asked for, all ended with the run."""

import contextlib
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import Any, Literal, Self, overload

import psutil

from tests.servers.certificates import Certificates
from tests.servers.etcd import Etcd
from tests.servers.etcd_newest import EtcdNewest
from tests.servers.mariadb import MariaDb
from tests.servers.mysql import MySql
from tests.servers.nats import Nats
from tests.servers.pgbouncer import PgBouncer
from tests.servers.places import folder_for_data, temporary_folders
from tests.servers.postgres import Postgres
from tests.servers.process import remove
from tests.servers.rabbitmq import RabbitMq
from tests.servers.rabbitmq_newest import RabbitMqNewest
from tests.servers.server import DatabaseServer, Server
from tests.servers.sid import CannotInstallError
from tests.servers.zookeeper import ZooKeeper
from tests.servers.zookeeper_newest import ZooKeeperNewest

__all__ = (
    "PRODUCTS",
    "Servers",
    "engines_of_a_set",
    "engines_that_differ",
    "known_names",
    "product_of",
    "products_for",
)

PRODUCTS: Mapping[str, type[Server]] = {
    "postgres": Postgres,
    "mysql": MariaDb,
    "mariadb": MariaDb,
    "rabbitmq": RabbitMq,
    "nats": Nats,
    "zookeeper": ZooKeeper,
    "etcd": Etcd,
}
NEWEST: Mapping[str, type[Server]] = {
    **PRODUCTS,
    "mysql": MySql,
    "rabbitmq": RabbitMqNewest,
    "zookeeper": ZooKeeperNewest,
    "etcd": EtcdNewest,
}
BESIDE: Mapping[str, Sequence[type[Server]]] = {"postgres": (PgBouncer,)}
"""What tests of an engine start beside its server."""
PREFIX = "asyncbackends-servers-"
OWNER = "owner"


def _set(newest: bool) -> Mapping[str, type[Server]]:
    return NEWEST if newest else PRODUCTS


def product_of(name: str, *, newest: bool = False) -> type[Server]:
    """Give what stands for an engine's or a product's name in the default or the newest set."""
    products = _set(newest)
    if name not in products:
        raise ValueError(f"unknown server {name}; known: {', '.join(products)}")
    return products[name]


def products_for(names: Iterable[str], *, newest: bool = False) -> Sequence[type[Server]]:
    """Give all that has to be installed for tests of these."""
    found = [(product_of(name, newest=newest), *BESIDE.get(name, ())) for name in names]
    return [*dict.fromkeys(chain.from_iterable(found))]


def known_names() -> Sequence[str]:
    """Name everything that can be asked for: engines, and products where an engine has two."""
    return tuple(PRODUCTS)


def engines_of_a_set(*, newest: bool) -> Sequence[str]:
    """Name the engines that have a server in the default or the newest set."""
    return [name for name, product in _set(newest).items() if product.engine == name]


def engines_that_differ() -> Sequence[str]:
    """Name the engines that have another server in the newest set."""
    names = engines_of_a_set(newest=True)
    return [name for name in names if PRODUCTS[name] is not NEWEST[name]]


class Servers:
    """The servers of a run, and the certificates they share."""

    def __init__(
        self,
        *,
        newest: bool = False,
        cannot: CannotInstallError | None = None,
        in_memory: bool = False,
    ) -> None:
        """Take what the set has.

        :param cannot: why something of it could not be installed.
        :param in_memory: keep data off the disk where there is room: what else the machine does
            may stall a disk for a second, which no client is to blame for.
        """
        _remove_what_a_dead_run_left()
        self._newest = newest
        self._cannot = cannot
        self._shared: dict[str, Server] = {}
        self._lock = threading.Lock()
        self.folder = Path(mkdtemp(prefix=PREFIX, dir=folder_for_data(in_memory=in_memory)))
        # The accounts of the servers go through it to their own folders.
        self.folder.chmod(0o711)
        me = psutil.Process()
        (self.folder / OWNER).write_text(f"{me.pid} {me.create_time()}", "utf-8")
        self._certificates: Certificates | None = None

    @property
    def certificates(self) -> Certificates:
        """The authority of this run, with identities right and wrong."""
        with self._lock:
            if self._certificates is None:
                folder = self.folder / "certificates"
                folder.mkdir()
                self._certificates = Certificates(folder)
            return self._certificates

    @overload
    def get(self, name: Literal["postgres", "mysql", "mariadb"]) -> DatabaseServer: ...
    @overload
    def get(self, name: Literal["rabbitmq"]) -> RabbitMq: ...
    @overload
    def get(self, name: Literal["nats"]) -> Nats: ...
    @overload
    def get(self, name: str) -> Server: ...
    def get(self, name: str) -> Server:
        """Give the run's server, started at the first call; nobody may break or stop it.

        It does not wait for its disk: whoever tests that, or a kill, takes a fresh one.
        """
        product = self._product(name)
        with self._lock:
            server = self._shared.get(product.product)
            if server is None:
                server = product(parent=self.folder, durable=False)
                server.__enter__()
                self._shared[product.product] = server
            if not server.is_running:
                raise RuntimeError(f"{server} has ended; its log: {server.process.log}")
            return server

    @overload
    def fresh(
        self, name: Literal["postgres", "mysql", "mariadb"], **arguments: Any
    ) -> DatabaseServer: ...
    @overload
    def fresh(self, name: Literal["rabbitmq"], **arguments: Any) -> RabbitMq: ...
    @overload
    def fresh(self, name: Literal["nats"], **arguments: Any) -> Nats: ...
    @overload
    def fresh(self, name: Literal["zookeeper"], **arguments: Any) -> ZooKeeper: ...
    @overload
    def fresh(self, name: Literal["etcd"], **arguments: Any) -> Etcd: ...
    @overload
    def fresh(self, name: str, **arguments: Any) -> Server: ...
    def fresh(self, name: str, **arguments: Any) -> Server:
        """Give one that ``with`` starts, for a test that breaks it; arguments as for Server."""
        return self._product(name)(parent=self.folder, **arguments)

    def _product(self, name: str) -> type[Server]:
        product = product_of(name, newest=self._newest)
        if self._cannot is not None and product.version() is None:
            raise self._cannot
        return product

    def close(self) -> None:
        """End all of them and remove everything."""
        with contextlib.ExitStack() as stack:
            stack.callback(remove, self.folder)
            for server in self._shared.values():
                stack.callback(server.remove)
            self._shared.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _remove_what_a_dead_run_left() -> None:
    """A run that was killed could not end its servers: the next one does."""
    folders = [found for parent in temporary_folders() for found in parent.glob(f"{PREFIX}*")]
    for folder in folders:
        # Without an owner it is being made right now, or is somebody else's and unreadable.
        with contextlib.suppress(OSError, ValueError):
            pid, created = (folder / OWNER).read_text("utf-8").split()
            if folder.stat().st_uid == os.geteuid() and not _lives(int(pid), float(created)):
                _end_what_works_in(folder)
                remove(folder)


def _lives(pid: int, created: float) -> bool:
    try:
        return abs(psutil.Process(pid).create_time() - created) < 1
    except psutil.NoSuchProcess:
        return False


def _end_what_works_in(folder: Path) -> None:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(folder):
                process.kill()
