"""Wheels as a release would build them, and an environment that knows nothing else of ours."""

import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OFFTREE = Path(__file__).parent / "offtree"


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the wheels in it."""

    folder: Path

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment, as in a user's folder."""
        program, *arguments = command
        return subprocess.run(
            [self.folder / "bin" / program, *arguments],
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
        )


def call(module: str, *arguments: str | Path) -> None:
    """Run a tool that is installed already; none of them asks an index."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def build_wheel(project: Path, folder: Path) -> Path:
    call("build", "--wheel", "--no-isolation", "--outdir", folder, project)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def sample_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(OFFTREE, tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="session")
def environment(
    wheel: Path, sample_wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """A fresh environment with the two wheels; third-party packages are borrowed from this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    call("pip", "--python", python, "install", "--no-index", "--no-deps", wheel, sample_wheel)
    # Comes after the environment's own packages on sys.path, so ours are the wheels'.
    (site_packages,) = folder.glob("lib/python*/site-packages")
    site_packages.joinpath("borrowed.pth").write_text(sysconfig.get_path("purelib"), "utf-8")
    return Environment(folder)
