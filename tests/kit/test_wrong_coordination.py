"""Every wrong coordination service and recipe is caught by the kit, and the right ones pass it."""

import pytest

from tests.kit.strange_suites import Outcomes, outcomes_of
from tests.kit.wrong_coordination import WRONG
from tests.kit.wrong_recipes import WRONG_RECIPES

# Per wrong service the classes of the kit that it meets, and tests that must catch it.
CAUGHT_BY: dict[str, tuple[str, set[str]]] = {
    "ForgetsEphemeral": (
        "ephemerals.EphemeralsConformance",
        {"test_ephemerals_are_gone_after_shutdown"},
    ),
    "KeepsSessionOnShutdown": (
        "ephemerals.EphemeralsConformance contending.ContendingConformance",
        {
            "test_ephemerals_are_gone_after_shutdown",
            "test_watch_tells_who_left",
            "test_places_go_with_their_client",
        },
    ),
    "NeverRenews": (
        "expiring.ExpiringSessionsConformance sessions.SessionsConformance",
        {"test_idle_session_is_renewed_and_keeps_its_nodes"},
    ),
    "RevivesSession": (
        "expiring.ExpiringSessionsConformance lost_sessions.LostSessionsConformance",
        {"test_expiring_sessions", "test_forgotten_session_is_lost"},
    ),
    "KnowsNoMargin": ("sessions.SessionsConformance", {"test_session_says_what_it_is"}),
    "ReadsStale": (
        "guarantees.CoordinationGuaranteesConformance versions.VersionsConformance",
        {"test_linearizable_reads", "test_linearizable_reads_of_everything"},
    ),
    "HalfAppliesTransaction": (
        "transactions.TransactionsConformance guarantees.CoordinationGuaranteesConformance",
        {
            "test_refusal_names_the_operation_and_applies_nothing[create-again-4]",
            "test_atomic_transactions",
            "test_racing_transactions",
        },
    ),
    "GuardsByPath": ("transactions.TransactionsConformance", {"test_guard_knows_its_own_entry"}),
    "CountsPlaces": (
        "contending.ContendingConformance guarantees.CoordinationGuaranteesConformance",
        {"test_order_grows_with_every_entry_ever_made", "test_fencing_tokens"},
    ),
    "OrdersContendersByName": (
        "contending.ContendingConformance",
        {"test_contenders_are_in_the_order_of_their_coming", "test_twenty_at_once"},
    ),
    "LeavesOrphanContender": (
        "cancelling.CoordinationCancellingConformance",
        {"test_cancelled_contender_leaves_no_entry"},
    ),
    "WithdrawsByPath": (
        "contending.ContendingConformance",
        {"test_withdraw_takes_only_its_own_entry"},
    ),
    "DeletesSiblingPrefix": (
        "paths.PathsConformance nodes.NodesConformance",
        {"test_names_that_begin_alike_are_apart", "test_deleted_tree_is_gone_as_a_whole"},
    ),
    "DeletesLeafByLeaf": (
        "guarantees.CoordinationGuaranteesConformance cancelling.CoordinationCancellingConformance",
        {
            "test_atomic_recursive_delete",
            "test_cancelled_call_happened_as_a_whole_or_not_at_all[delete_node-recursive-task]",
        },
    ),
    "SkipsEqualUpdate": (
        "values.NodeValuesConformance versions.VersionsConformance",
        {
            "test_update_to_an_equal_value_is_an_update",
            "test_version_is_never_used_twice",
        },
    ),
    "IgnoresExpectedVersion": (
        "versions.VersionsConformance",
        {
            "test_update_at_another_version_is_refused",
            "test_one_of_several_conditional_writers_wins",
            "test_counter_loses_nothing",
        },
    ),
    "GivesNoChildrenOfNothing": ("nodes.NodesConformance", {"test_nothing_is_not_there"}),
    "CutsValues": ("values.NodeValuesConformance", {"test_value_reads_back_equal[most-bytes]"}),
    "MendsPaths": ("paths.PathsConformance", {"test_bad_path_is_refused[create_node]"}),
    "SwallowsCancellation": (
        "cancelling.CoordinationCancellingConformance",
        {"test_cancelled_call_happened_as_a_whole_or_not_at_all[create_node-task]"},
    ),
    "LeaksTask": ("lifecycle.CoordinationLifecycleConformance", {"test_no_task_is_left"}),
    "AnswersAfterShutdown": (
        "lifecycle.CoordinationLifecycleConformance",
        {"test_call_before_connect_and_after_shutdown_is_refused[exists]"},
    ),
    "PromisesSharing": (
        "processes.CoordinationProcessesConformance",
        {"test_shared_between_processes"},
    ),
    "PromisesSurvival": (
        "processes.CoordinationProcessesConformance",
        {"test_survives_process_kill"},
    ),
    "DoubtsNothing": (
        "lost_replies.LostRepliesConformance",
        {"test_lost_reply_leaves_the_caller_in_doubt[update_node]"},
    ),
    "LosesEvent": (
        "watching.WatchingConformance watch_histories.WatchHistoriesConformance",
        {"test_scope_tree_is_the_node_and_all_below", "test_watchers_end_with_what_is_there"},
    ),
    "RepeatsEvent": (
        "watching.WatchingConformance watch_histories.WatchHistoriesConformance",
        {"test_several_watches_are_independent", "test_watchers_end_with_what_is_there"},
    ),
    "TellsNoGap": (
        "lost_links.LostLinksConformance",
        {"test_lost_link_is_one_gap", "test_lost_events_are_told_by_one_gap[3]"},
    ),
    "TellsGapTwice": ("lost_links.LostLinksConformance", {"test_lost_link_is_one_gap"}),
    "EndsWatchAtGap": (
        "lost_links.LostLinksConformance lost_sessions.LostSessionsConformance",
        {"test_lost_link_is_one_gap", "test_watch_outlives_its_session"},
    ),
    "MergesGoingAndComing": (
        "watch_histories.WatchHistoriesConformance",
        {"test_going_and_coming_again_is_told"},
    ),
    "ForgetsInitial": (
        "watch_beginnings.WatchBeginningsConformance",
        {
            "test_initial_tree_comes_parents_first",
            "test_nothing_is_lost_between_initial_and_what_follows",
        },
    ),
    "WatchesTooMuch": (
        "watching.WatchingConformance",
        {"test_scope_children_is_their_coming_and_going"},
    ),
}

# The same of recipes.
RECIPE_CAUGHT_BY: dict[str, tuple[str, set[str]]] = {
    "WaitsForNobody": (
        "locks.LockConformance",
        {
            "test_lock_has_one_holder",
            "test_twenty_contenders_hold_it_in_the_order_of_their_coming",
            "test_lock_that_is_not_to_be_had_in_time",
        },
    ),
    "LetsTheLastOneIn": (
        "locks.LockConformance",
        {"test_twenty_contenders_hold_it_in_the_order_of_their_coming"},
    ),
    "LeavesItsPlaceBehind": (
        "locks.LockConformance",
        {
            "test_lock_that_is_not_to_be_had_in_time",
            "test_cancelled_anywhere_while_it_is_free[task]",
            "test_cancelled_anywhere_while_it_waits[task]",
        },
    ),
    "LetsTheBodyGoOn": (
        "lost.LostHoldersConformance",
        {
            "test_lost_session_ends_the_body_and_the_next_one_follows[lock]",
            "test_lock_lost_while_nobody_looked_is_an_error_at_the_end",
        },
    ),
    "HasOneFence": (
        "locks.LockConformance",
        {"test_lock_has_one_holder", "test_fence_grows_whatever_happens_to_the_path"},
    ),
    "ReignsOn": (
        "elections.ElectionConformance",
        {
            "test_resigned_leader_goes_on",
            "test_one_leads_at_a_time_in_the_order_of_their_coming",
        },
    ),
    "LeadsWithoutTerm": (
        "lost.LostHoldersConformance",
        {"test_lost_session_ends_the_body_and_the_next_one_follows[election]"},
    ),
    "RepeatsItself": ("elections.ElectionConformance", {"test_observer_sees_every_leader"}),
    "KeepsItsMembers": (
        "groups.GroupConformance",
        {
            "test_members_are_there_as_long_as_their_blocks",
            "test_cancelled_anywhere_belongs_to_nothing[task-True]",
        },
    ),
    "NeverRejoins": ("lost.LostHoldersConformance", {"test_member_whose_session_is_lost[True]"}),
}

PREAMBLE = """\
from importlib import import_module
from uuid import uuid4

import pytest

from asyncbackends.testing import AsyncioHarness
from asyncbackends_memory import coordination_faults
from tests.kit import wrong_recipes


def mixins(package, names):
    for name in names.split():
        module, _, attribute = name.partition(".")
        yield getattr(import_module(f"asyncbackends.testing.{package}.{module}"), attribute)


class Impatient(AsyncioHarness):
    def __init__(self, patience, longest):
        super().__init__(patience)
        self.longest = longest

    def deadline(self, seconds):
        return super().deadline(min(seconds, self.longest))


class Opened:
    recipes = ""

    @pytest.fixture
    def settings(self):
        return {"engine": self.engine, "endpoints": str(uuid4())}

    @pytest.fixture
    def faults(self, settings):
        return coordination_faults(settings["endpoints"])

    @pytest.fixture
    def harness(self):
        # A renewal takes a third of two seconds, and a session ends after two.
        if "lost" in self.names or "expiring" in self.names:
            return Impatient(2.0, 3.0)
        return Impatient(0.4, 1.5)

    @pytest.fixture(autouse=True)
    def put_recipes(self, monkeypatch):
        for wrong in (getattr(wrong_recipes, name) for name in self.recipes.split()):
            for base in wrong.__mro__[1:-1]:
                for module in ("elections", "groups", "locks", "lost", "paused"):
                    module = import_module(f"asyncbackends.testing.recipes.{module}")
                    if getattr(module, base.__name__, None) is base:
                        monkeypatch.setattr(module, base.__name__, wrong)

"""

CLASS = """
class Test{name}(Opened, *mixins({package!r}, {names!r})):
    engine = "tests.kit.wrong_coordination:{engine}"
    recipes = {recipes!r}
    names = {names!r}
"""


def suite_of(name: str, package: str, names: str, engine: str, recipes: str = "") -> str:
    return CLASS.format(name=name, package=package, names=names, engine=engine, recipes=recipes)


@pytest.fixture(scope="module")
def caught(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcomes]:
    suites = [
        suite_of(name, "coordination", names, f"{name}_engine")
        for name, (names, _) in CAUGHT_BY.items()
    ]
    suites += [
        suite_of(name, "recipes", names, "right", name)
        for name, (names, _) in RECIPE_CAUGHT_BY.items()
    ]
    # They mostly wait.
    files = (PREAMBLE + "".join(suites[number::8]) for number in range(8))
    return outcomes_of(tmp_path_factory.mktemp("kit"), *files)


def test_every_wrong_service_and_recipe_is_tried() -> None:
    assert {*CAUGHT_BY} == {*WRONG}
    assert {*RECIPE_CAUGHT_BY} == {*WRONG_RECIPES}
    assert len(WRONG) + len(WRONG_RECIPES) >= 40


@pytest.mark.promise("kit.catches-wrong-engines")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(CAUGHT_BY | RECIPE_CAUGHT_BY))
def test_wrong_service_or_recipe_is_caught(name: str, caught: dict[str, Outcomes]) -> None:
    _, expected = (CAUGHT_BY | RECIPE_CAUGHT_BY)[name]
    outcomes = caught[name]
    refused = outcomes.get("failure", set()) | outcomes.get("error", set())
    assert expected - refused == set()
    # It is a small change: most of what it does is right.
    assert outcomes["passed"]
    assert "skipped" not in outcomes


@pytest.mark.promise("kit.catches-wrong-engines")
@pytest.mark.timeout(300)
def test_right_service_and_recipes_pass(tmp_path_factory: pytest.TempPathFactory) -> None:
    services, recipes = (
        " ".join(sorted({one for tried, _ in table.values() for one in tried.split()}))
        for table in (CAUGHT_BY, RECIPE_CAUGHT_BY)
    )
    suites = [
        suite_of("Services", "coordination", services, "right"),
        suite_of("Recipes", "recipes", recipes, "right", "RightLock RightElection RightGroup"),
    ]
    files = (PREAMBLE + suite for suite in suites)
    found = outcomes_of(tmp_path_factory.mktemp("kit"), *files)
    assert {*found} == {"Services", "Recipes"}
    for name, outcomes in found.items():
        assert {*outcomes} == {"passed"}, (name, outcomes)
