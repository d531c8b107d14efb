"""Programs of Debian's newest packages, unpacked into a folder: the machine keeps its own.

apt works on lists of its own here and dpkg only unpacks, so this takes no root, runs no script of a
package and starts no service. The programs run by the dynamic linker that is among them.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

from tests.servers.process import Account

__all__ = ("CannotInstallError", "Unpacked", "cache_folder", "unpack")

CACHE = "ASYNCBACKENDS_TEST_CACHE"
MIRROR = "ASYNCBACKENDS_TEST_DEBIAN"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# A mirror that lags by weeks is as good here; what it has is signed all the same.
APT_CONFIGURATION = """\
Dir::State "{folder}";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "{folder}/none";
Dir::Etc::preferencesparts "{folder}/none";
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
"""


class CannotInstallError(RuntimeError):
    """What a test needs cannot be had here; the message names what to run."""


def cache_folder() -> Path:
    """Where what was fetched once is kept."""
    if named := os.environ.get(CACHE):
        return Path(named).absolute()
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named).absolute() / "asyncbackends-tests"
    return Path(__file__).parents[2] / ".cache" / "servers"


class Unpacked:
    """A folder of unpacked packages, and how programs in it are run."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def is_there(self) -> bool:
        """Say whether it is; it is complete then."""
        return self.root.is_dir()

    def path(self, name: str) -> Path:
        """Give the path of a file in it, named from its root."""
        return self.root / name

    def command(self, program: str) -> list[str | Path]:
        """Give the beginning of the command line that runs a program of it."""
        linker = next(self.root.glob("usr/lib/*/ld-linux-*.so.*"))
        libraries = ":".join(str(path) for path in sorted(self.root.glob("usr/lib/*-linux-*")))
        return [linker, "--library-path", libraries, self.root / program]

    def for_account(self, account: Account, folder: Path) -> "Unpacked":
        """Give one that the account can read: a root's own checkout may be closed to it."""
        if account.can_execute(self.root):
            return self
        own = folder / self.root.name
        same_disk = self.root.stat().st_dev == folder.stat().st_dev
        links = ["--link"] if same_disk else []
        subprocess.run(["cp", "--archive", *links, self.root, own], check=True)
        return Unpacked(own)


def unpack(root: Path, packages: Sequence[str], keep: Sequence[str]) -> None:
    """Make ``root`` of these packages and all that they need; of their files only those to keep."""
    root.parent.mkdir(parents=True, exist_ok=True)
    work = Path(mkdtemp(prefix=f"{root.name}.", dir=root.parent))
    try:
        _apt_folder(work)
        _run(work, "apt-get", "update")
        _run(work, "apt-get", "install", "--yes", "--download-only", *packages)
        whole, kept = work / "whole", work / "kept"
        for package in sorted(work.glob("archives/*.deb")):
            _run(work, "dpkg-deb", "--extract", package, whole)
        for pattern in keep:
            for path in whole.glob(pattern):
                target = kept / path.relative_to(whole)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)
        kept.chmod(0o755)
        # Complete, or not there.
        kept.rename(root)
    finally:
        shutil.rmtree(work)


def _apt_folder(work: Path) -> None:
    for name in ("lists/partial", "archives/partial", "none"):
        (work / name).mkdir(parents=True)
    (work / "status").touch()
    source = f"deb [signed-by={KEYRING}] {_mirror()} sid main\n"
    (work / "sources.list").write_text(source, "utf-8")
    (work / "apt.conf").write_text(APT_CONFIGURATION.format(folder=work), "utf-8")


def _mirror() -> str:
    """Give the Debian mirror that this machine's apt uses."""
    if named := os.environ.get(MIRROR):
        return named
    if shutil.which("apt-get") and KEYRING.exists():
        listed = subprocess.run(
            [
                *("apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)"),
                "Created-By: Packages",
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for line in listed.splitlines():
            label, _, address = line.partition(" ")
            if label == "Debian":
                return address
    raise CannotInstallError(
        f"no Debian mirror is known here: run apt-get update on Debian; elsewhere install apt and"
        f" debian-archive-keyring, and name a mirror in {MIRROR}"
    )


def _run(work: Path, *command: str | Path) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "APT_CONFIG": str(work / "apt.conf"), "LC_ALL": "C.UTF-8"},
        check=False,
    )
    if done.returncode:
        said = "\n".join(done.stdout.splitlines()[-20:])
        raise CannotInstallError(f"{' '.join(map(str, command))} failed:\n{said}")
