"""Every wrong engine is caught by the kit, and the right one passes it."""

import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from subprocess import run

import pytest

from tests.kit.wrong_engines import WRONG

ROOT = Path(__file__).parents[2]

# Per wrong engine the classes of the kit that it meets, and tests that must catch it.
CAUGHT_BY: dict[str, tuple[str, set[str]]] = {
    "ForgetsBackRef": (
        "reading.ReadingConformance",
        {"test_get_all_fields_gives_back_refs_and_children", "test_links_are_ordered_by_uuid"},
    ),
    "OrdersListsAsText": (
        "quirks.QuirksConformance property_collections.CollectionsConformance",
        {"test_quirk_lists_are_ordered_as_text", "test_add_without_position_appends"},
    ),
    "ReadsStale": (
        "updates.UpdatesConformance guarantees.GuaranteesConformance",
        {"test_read_your_writes", "test_every_update_moves_the_revision"},
    ),
    "AcceptsTakenName": (
        "creation.CreationConformance guarantees.GuaranteesConformance",
        {"test_name_is_unique_within_a_type", "test_unique_names"},
    ),
    "HalfAppliesBatch": (
        "batches.BatchConformance cancellation.CancellationConformance",
        {"test_refusal_names_the_write_and_applies_nothing"},
    ),
    "LeaksTask": ("lifecycle.LifecycleConformance", {"test_nothing_is_left_running"}),
    "IgnoresExpectedRevision": (
        "updates.UpdatesConformance histories.HistoriesConformance",
        {
            "test_update_at_expected_revision",
            "test_one_of_several_conditional_writers_wins",
            "test_concurrent_changes_lose_no_update",
        },
    ),
    "IgnoresStaleFence": (
        "fences.FencesConformance",
        {"test_stale_fence_is_refused[object_delete]"},
    ),
    "LosesEvent": (
        "watching.WatchConformance histories.HistoriesConformance",
        {"test_every_kind_of_write_is_seen", "test_watcher_sees_what_writers_were_told"},
    ),
    "RepeatsEvent": (
        "watching.WatchConformance histories.HistoriesConformance",
        {"test_since_replays_what_was_written", "test_watcher_sees_what_writers_were_told"},
    ),
    "EndsWatchSilently": (
        "watching.WatchConformance",
        {"test_every_kind_of_write_is_seen", "test_several_watchers_see_everything"},
    ),
    "ChangesCallersDict": (
        "creation.CreationConformance quirks.QuirksConformance",
        {"test_created_dict_is_left_alone_and_not_kept", "test_quirk_callers_dict_is_changed"},
    ),
    "MatchesTrueWithOne": (
        "filters.FiltersConformance",
        {"test_every_scalar_is_found_by_itself_alone[weight]"},
    ),
    "GivesEmptyLastPage": (
        "listing.ListingConformance quirks.QuirksConformance",
        {"test_pages[3]", "test_quirk_anchored_list_ends_with_an_empty_page"},
    ),
    "DeletesReferenced": (
        "deletes.DeletesConformance",
        {"test_referenced_object_stays"},
    ),
    "RaisesWrongError": ("reading.ReadingConformance", {"test_get_of_nothing"}),
    "SkipsMissing": ("reading.ReadingConformance", {"test_read_of_what_is_missing"}),
    "KeepsShares": ("deletes.DeletesConformance", {"test_shares_go_with_the_object"}),
    "UpdatesNothingSilently": ("updates.UpdatesConformance", {"test_update_of_nothing"}),
    "CreatesInTwoSteps": (
        "creation.CreationConformance cancellation.CancellationConformance",
        {
            "test_refused_create_leaves_nothing",
            "test_cancelled_write_is_whole_or_not_there[object_create-task]",
        },
    ),
    "ReadsInOrderOfIds": (
        "reading.ReadingConformance",
        {"test_read_keeps_the_order_of_the_request"},
    ),
    "ForgetsPeers": (
        "object_refs.RefsConformance",
        {"test_same_type_ref_is_changed_and_removed_on_both_sides"},
    ),
    "RewritesRepeatedCreate": (
        "creation.CreationConformance",
        {"test_creating_again_writes_nothing", "test_creating_again_gives_the_first_result"},
    ),
    "PromisesSharing": ("processes.ProcessesConformance", {"test_shared_between_processes"}),
    "PromisesSurvival": ("processes.ProcessesConformance", {"test_survives_process_kill"}),
    "SwallowsCancellation": (
        "cancellation.CancellationConformance",
        {"test_cancelled_write_is_whole_or_not_there[kv_put-task]"},
    ),
    "AnswersAfterShutdown": (
        "lifecycle.LifecycleConformance",
        {"test_call_before_connect_and_after_shutdown[get_relaxed_refs]"},
    ),
}

PREAMBLE = """\
from uuid import uuid4

import pytest

from asyncbackends.testing import AsyncioHarness
import asyncbackends.testing.config_database as kit
from importlib import import_module


def mixin(name):
    module, _, attribute = name.partition(".")
    return getattr(import_module(f"asyncbackends.testing.config_database.{module}"), attribute)


class Opened:
    @pytest.fixture
    def settings(self):
        return {"engine": self.engine, "endpoints": str(uuid4())}

    @pytest.fixture
    def harness(self):
        return AsyncioHarness(patience=0.3)

"""

CLASS = """
class Test{name}(Opened, *map(mixin, {mixins!r}.split())):
    engine = "tests.kit.wrong_engines:{engine}"
"""

Outcomes = dict[str, set[str]]


@pytest.fixture(scope="module")
def kit_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Outcomes]]:
    """Run a test file as a stranger would, and give per class outcome -> tests."""

    def outcomes(source: str) -> dict[str, Outcomes]:
        folder = tmp_path_factory.mktemp("kit")
        folder.joinpath("test_engines.py").write_text(source, "utf-8")
        # Nothing of ours but the kit: no plug-in, strict mode, unknown markers refused.
        folder.joinpath("pytest.toml").write_text(
            '[pytest]\nstrict = true\nasyncio_mode = "strict"\n'
            'asyncio_default_fixture_loop_scope = "function"\n',
            "utf-8",
        )
        report = folder / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml"]
        done = run(
            [*command, str(report), "test_engines.py"],
            cwd=folder,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert report.exists(), done.stdout + done.stderr
        found: dict[str, Outcomes] = {}
        for case in ET.parse(report).iter("testcase"):  # noqa: S314  # our own report
            words = [child.tag for child in case if child.tag in {"failure", "error", "skipped"}]
            name = case.attrib["classname"].rpartition(".Test")[2]
            word = words[0] if words else "passed"
            found.setdefault(name, {}).setdefault(word, set()).add(case.attrib["name"])
        return found

    return outcomes


@pytest.fixture(scope="module")
def caught(kit_run: Callable[[str], dict[str, Outcomes]]) -> dict[str, Outcomes]:
    classes = [
        CLASS.format(name=name, mixins=mixins, engine=f"{name}_engine")
        for name, (mixins, _) in CAUGHT_BY.items()
    ]
    return kit_run(PREAMBLE + "".join(classes))


def test_every_wrong_engine_is_tried() -> None:
    assert {*CAUGHT_BY} == {*WRONG}
    assert len(WRONG) >= 15


@pytest.mark.promise("kit.catches-wrong-engines")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", sorted(WRONG))
def test_wrong_engine_is_caught(name: str, caught: dict[str, Outcomes]) -> None:
    _, expected = CAUGHT_BY[name]
    outcomes = caught[name]
    refused = outcomes.get("failure", set()) | outcomes.get("error", set())
    assert expected - refused == set()
    # It is a small change: most of what it does is right.
    assert outcomes["passed"]
    assert "skipped" not in outcomes


@pytest.mark.promise("kit.catches-wrong-engines")
@pytest.mark.timeout(180)
def test_right_engine_passes(kit_run: Callable[[str], dict[str, Outcomes]]) -> None:
    mixins = " ".join(sorted({mixin for tried, _ in CAUGHT_BY.values() for mixin in tried.split()}))
    outcomes = kit_run(PREAMBLE + CLASS.format(name="Right", mixins=mixins, engine="right"))
    assert {*outcomes["Right"]} == {"passed"}, outcomes["Right"]
