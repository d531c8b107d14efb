"""An adapter of somebody else's distribution works like one of ours."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.conftest import OFFTREE, Environment


@pytest.mark.promise("packaging.off-tree-adapter")
def test_engine_is_listed(environment: Environment, tmp_path: Path) -> None:
    done = environment.run("asyncbackends", "engines", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "sample" in done.stdout


@pytest.mark.promise("packaging.off-tree-adapter")
def test_packages_come_from_the_wheels(environment: Environment, tmp_path: Path) -> None:
    program = "import asyncbackends, asyncbackends_memory, asyncbackends_sample as s; print("
    program += "asyncbackends.__file__, asyncbackends_memory.__file__, s.__file__, sep='\\n')"
    done = environment.run("python", "-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.split():
        assert Path(line).is_relative_to(environment.folder)


@pytest.mark.promise("packaging.off-tree-adapter")
def test_conformance_kit_passes(
    environment: Environment, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    project = shutil.copytree(OFFTREE, tmp_path / "offtree")
    done = environment.run("python", "-m", "pytest", "-q", "tests", cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    # Nothing skipped, nothing left out.
    counted = re.fullmatch(r"(\d+) passed in .*", done.stdout.splitlines()[-1])
    assert counted, done.stdout
    figure(f"{counted[1]} tests")
