"""The promises' own rules: what counts as proven, and what is recorded."""

import json
from pathlib import Path

import pytest

from tests.promises.__main__ import render_page
from tests.promises.catalogue import read_catalogue
from tests.promises.record import Proof, Results, judge, merge, read_all
from tests.unit.conftest import InnerRun

CATALOGUE = """\
["area.both"]
sentence = "It holds."
kinds = ["config_database"]
ci = ["memory", "sqlite"]

["area.framework"]
sentence = "It holds, too."
"""

TESTS = """\
import pytest


class TestMemory:
    engine = "memory"

    @pytest.mark.promise("area.both")
    def test_passes(self, figure):
        figure("3 kills")

    def test_skips(self):
        pytest.skip("no reason")

    test_skips.__promises__ = ("area.both",)


@pytest.mark.promise("area.both")
@pytest.mark.parametrize("engine", ["sqlite", "unpromised"])
def test_fails(engine):
    assert not engine


@pytest.mark.promise("area.framework")
def test_left_out():
    pass
"""


def proof(outcome: str, *figures: str) -> Proof:
    return Proof(outcome=outcome, figures=[*figures])


def results(**outcomes: str) -> Results:
    return {"area.both": {"memory": {test: proof(word) for test, word in outcomes.items()}}}


@pytest.mark.parametrize(
    ("records", "word"),
    [
        ([], "MISSING"),
        ([results(a="passed")], "passed"),
        ([results(a="passed"), results(a="skipped")], "passed"),
        ([results(a="passed", b="skipped")], "MISSING"),
        ([results(a="xfailed")], "MISSING"),
        ([results(a="deselected")], "MISSING"),
        ([results(a="passed"), results(a="failed")], "FAILED"),
    ],
    ids=["nothing", "one", "other-python", "one-of-two", "xfailed", "deselected", "one-python"],
)
def test_cell_is_proven_only_if_each_of_its_tests_passed(records: list[Results], word: str) -> None:
    assert judge("area.both", "memory", records).word == word


def test_leaving_a_test_out_does_not_undo_its_result(tmp_path: Path) -> None:
    merge(tmp_path / "3.11-ci.json", results(a="passed", b="failed"))
    merge(tmp_path / "3.11-ci.json", results(a="deselected", b="passed", c="deselected"))
    merge(tmp_path / "3.11-soak.json", results(a="failed"))
    assert read_all(tmp_path, ["ci"]) == [results(a="passed", b="passed", c="deselected")]


def test_page_says_what_holds_where(tmp_path: Path) -> None:
    tmp_path.joinpath("promises.toml").write_text(CATALOGUE, "utf-8")
    page = render_page(read_catalogue(tmp_path / "promises.toml").values())
    assert "It holds. <br>`area.both` | memory, sqlite | - |" in page
    assert "It holds, too. <br>`area.framework` | core | - |" in page


@pytest.mark.parametrize(
    "wrong",
    [
        '[both]\nsentence = "No area."',
        '["area.both"]\nsentence = "No full stop"',
        '["area.both"]\nsentence = "Unknown key."\nnightly = ["memory"]',
        '["area.both"]\nsentence = "Twice."\nci = ["memory"]\nsoak = ["memory"]',
    ],
    ids=["id", "sentence", "key", "engine"],
)
def test_wrong_entry_is_refused(tmp_path: Path, wrong: str) -> None:
    tmp_path.joinpath("promises.toml").write_text(wrong, "utf-8")
    with pytest.raises(ValueError, match=r'^promise "'):
        read_catalogue(tmp_path / "promises.toml")


def test_run_records_outcome_and_figures(pytester: pytest.Pytester, inner_run: InnerRun) -> None:
    result = inner_run(TESTS, "-k", "not left_out", promises=CATALOGUE)
    result.assert_outcomes(passed=1, skipped=1, failed=2, deselected=1)
    (record,) = pytester.path.glob(".promises/3.*-ci.json")
    assert json.loads(record.read_text("utf-8")) == {
        "area.both": {
            "memory": {
                "test_inner.py::TestMemory::test_passes": proof("passed", "3 kills"),
                "test_inner.py::TestMemory::test_skips": proof("skipped"),
            },
            "sqlite": {"test_inner.py::test_fails[sqlite]": proof("failed")},
        },
        "area.framework": {"core": {"test_inner.py::test_left_out": proof("deselected")}},
    }


def test_unknown_promise_stops_the_run(inner_run: InnerRun) -> None:
    tests = TESTS.replace("area.framework", "area.unknown")
    result = inner_run(tests, promises=CATALOGUE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_left_out: tests/promises.toml has no promise area.unknown"])


def test_figure_without_promise_is_an_error(inner_run: InnerRun) -> None:
    result = inner_run("def test_one(figure):\n    figure('3 kills')", promises=CATALOGUE)
    result.assert_outcomes(errors=1)
