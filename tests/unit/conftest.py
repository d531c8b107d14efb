"""A test run of its own, inside a test, under the guards and options of this one."""

from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

InnerRun = Callable[..., pytest.RunResult]

CONFTEST = """\
pytest_plugins = ["tests.conftest"]


def pytest_configure():
    import tests.leaks

    tests.leaks.PATIENCE = 0.1
"""


@pytest.fixture
def inner_run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> InnerRun:
    """Give ``run(tests, promises="", *options)``, in the folder ``pytester.path``."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "400")

    def run(tests: str, *options: str, promises: str = "") -> pytest.RunResult:
        pytester.makeconftest(CONFTEST)
        pytester.mkdir("tests").joinpath("promises.toml").write_text(promises, "utf-8")
        pytester.makepyfile(test_inner=tests)
        configuration = f"--config-file={ROOT / 'pyproject.toml'}"
        return pytester.runpytest_subprocess(
            configuration, "--rootdir=.", "-p", "no:cacheprovider", "test_inner.py", *options
        )

    return run
