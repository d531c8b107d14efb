"""What a user gets by installing the wheel."""

import tomllib
from email.parser import HeaderParser
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.packaging.conftest import ROOT


@pytest.fixture
def files(wheel: Path) -> list[str]:
    return ZipFile(wheel).namelist()


def text_of(wheel: Path, ending: str) -> str:
    with ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(ending)]
        return archive.read(name).decode()


def packages_of_checkout() -> set[str]:
    adapters = {
        path.name
        for container in ("adapters", "compat", "services")
        for path in ROOT.joinpath(container).glob("asyncbackends_*")
    }
    return {"asyncbackends", *adapters}


@pytest.mark.promise("packaging.wheel-contents")
def test_wheel_holds_our_packages_and_nothing_else(files: list[str]) -> None:
    top_level = {name.partition("/")[0] for name in files}
    metadata = {name for name in top_level if name.endswith(".dist-info")}
    assert top_level - metadata == packages_of_checkout()
    assert len(metadata) == 1
    for name in packages_of_checkout():
        assert f"{name}/__init__.py" in files
        assert f"{name}/py.typed" in files


@pytest.mark.promise("packaging.wheel-contents")
def test_wheel_holds_every_file_of_the_packages(files: list[str]) -> None:
    for name in packages_of_checkout():
        (folder,) = (path for path in (ROOT / name, *ROOT.glob(f"*/{name}")) if path.is_dir())
        sources = {
            f"{name}/{path.relative_to(folder)}"
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert sources - {*files} == set()


@pytest.mark.promise("packaging.wheel-contents")
def test_wheel_holds_the_conformance_kit(files: list[str]) -> None:
    assert "asyncbackends/testing/__init__.py" in files


def test_entry_points_are_those_of_the_project(wheel: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    expected = {"console_scripts": project["scripts"], **project["entry-points"]}
    sections = text_of(wheel, "entry_points.txt").split("\n\n")
    found = {
        section.splitlines()[0].strip("[]"): dict(
            line.split(" = ") for line in section.splitlines()[1:]
        )
        for section in sections
    }
    assert found == expected


def test_core_needs_anyio_and_msgspec_alone(wheel: Path) -> None:
    metadata = HeaderParser().parsestr(text_of(wheel, ".dist-info/METADATA"))
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert [line.partition(">")[0] for line in needed] == ["anyio", "msgspec"]
    assert {"telemetry", "testing", "all"} <= {*metadata.get_all("Provides-Extra", [])}
