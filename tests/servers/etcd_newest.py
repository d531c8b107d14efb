"""etcd built from its Go modules: the newest version there is."""

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import mkdtemp

from tests.servers.etcd import Etcd
from tests.servers.sid import CannotInstallError, cache_folder

__all__ = ("EtcdNewest",)

VERSION = "v3.6.5"
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
        if shutil.which("go") is None:
            raise CannotInstallError("etcd is built with Go; run: sudo apt-get install golang-go")
        cache_folder().mkdir(parents=True, exist_ok=True)
        work = Path(mkdtemp(prefix="etcd-", dir=cache_folder()))
        try:
            for name, (module, package, call) in PROGRAMS.items():
                _build(work, name, module, package, call)
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


def _build(work: Path, name: str, module: str, package: str, call: str) -> None:
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
    for command in (
        ["go", "mod", "tidy"],
        ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(target), "."],
    ):
        done = subprocess.run(
            command, cwd=sources, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise CannotInstallError(f"{' '.join(command)} failed:\n{done.stderr}")
