"""Brings what is missing, by one command; two processes do not do it at once."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from tests.servers.server import Server
from tests.servers.sid import CannotInstallError, cache_folder

__all__ = ("CannotInstallError", "install", "missing")


def missing(products: Iterable[type[Server]]) -> list[type[Server]]:
    """Say which of these are not on this machine."""
    return [product for product in products if product.version() is None]


def install(products: Sequence[type[Server]]) -> None:
    """Install what is missing of these.

    :raises CannotInstallError: with the command to run.
    """
    if not missing(products):
        return
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Another process may have done it meanwhile.
        absent = missing(products)
        packages = [package for product in absent for package in product.packages]
        # What builds some of them may be among the packages.
        steps: list[Callable[[], None]] = [
            partial(_apt_install, packages),
            *(product.install for product in absent),
        ]
        refused = [said for step in steps if (said := _try(step))]
        if not refused and (still := missing(absent)):
            refused = [f"{product.product} was installed, but is not found" for product in still]
    if refused:
        raise CannotInstallError("\n".join(refused))


def _try(step: Callable[[], None]) -> str | None:
    """Take a step; if it cannot be, give why: the others are taken all the same."""
    try:
        step()
    except CannotInstallError as error:
        return str(error)
    return None


def _apt_install(packages: Sequence[str]) -> None:
    if not packages:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise CannotInstallError(f"servers are missing; run: sudo {' '.join(command)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # Without lists, or with old ones, it fails quickly.
    if subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode:
        subprocess.run(["apt-get", "update"], stdout=sys.stderr, check=False)
        again = subprocess.run(command, env=environment, stdout=sys.stderr, check=False)
        if again.returncode:
            raise CannotInstallError(f"{' '.join(command)} failed")
