"""Runs suites as a stranger would: nothing of ours but the kit, in a process of their own."""

import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

__all__ = ("Outcomes", "outcomes_of")

ROOT = Path(__file__).parents[2]

Outcomes = dict[str, set[str]]
"""The names of the tests by passed, failure, error and skipped."""


def outcomes_of(folder: Path, *sources: str) -> dict[str, Outcomes]:
    """Run test files side by side, and give the outcomes per class, its name without ``Test``."""
    found: dict[str, Outcomes] = {}
    runs = [_started(folder / str(number), source) for number, source in enumerate(sources)]
    for process, report in runs:
        said, _ = process.communicate()
        assert report.exists(), said
        for case in ET.parse(report).iter("testcase"):  # noqa: S314  # our own report
            words = [child.tag for child in case if child.tag in {"failure", "error", "skipped"}]
            name = case.attrib["classname"].rpartition(".Test")[2]
            word = words[0] if words else "passed"
            found.setdefault(name, {}).setdefault(word, set()).add(case.attrib["name"])
    return found


def _started(folder: Path, source: str) -> tuple[Popen[str], Path]:
    folder.mkdir()
    folder.joinpath("test_suites.py").write_text(source, "utf-8")
    # No plug-in of ours, strict mode, unknown markers refused.
    folder.joinpath("pytest.toml").write_text(
        '[pytest]\nstrict = true\nasyncio_mode = "strict"\n'
        'asyncio_default_fixture_loop_scope = "function"\n',
        "utf-8",
    )
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml"]
    process = Popen(
        [*command, str(report), "test_suites.py"],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
    )
    return process, report
