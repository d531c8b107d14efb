"""Every wrong message broker is caught by the kit, and the right one passes it."""

import pytest

from asyncbackends.testing import MessageBrokerConformance, MessageBrokerFaultsConformance
from tests.kit.strange_suites import Outcomes, outcomes_of
from tests.kit.wrong_brokers import WRONG

# Per wrong broker the tests that must catch it; a test with parameters, one of them at least.
CAUGHT_BY: dict[str, set[str]] = {
    "ReordersAfterReconnect": {
        "test_messages_that_never_arrived_are_sent_again",
        "test_order_across_a_cut_at_every_moment",
    },
    "ForgetsUnconfirmed": {
        "test_order_across_a_cut_at_every_moment",
        "test_messages_that_never_arrived_are_sent_again",
        "test_no_confirmed_message_is_lost",
    },
    "ResendsWithOtherIds": {"test_lost_confirms_are_asked_for_again"},
    "ReordersBursts": {"test_order_of_a_burst", "test_ordered_per_publisher"},
    "HasNoBound": {
        "test_outbox_has_a_number_of_messages",
        "test_outbox_has_a_number_of_bytes",
    },
    "DropsWhenFull": {
        "test_outbox_has_a_number_of_messages",
        "test_order_of_waiting_for_room",
    },
    "SendsAfterTheDeadline": {"test_deadline_before_it_was_sent"},
    "TellsNoFailures": {
        "test_flush_tells_failures_once",
        "test_flush_keeps_a_bounded_number_of_failures",
    },
    "BlamesEverybody": {"test_culprit_is_found"},
    "LosesDeath": {"test_rejected_message_is_a_dead_letter", "test_limit_ends_in_a_dead_letter"},
    "TakesUnansweredForConfirmed": {"test_deadline_after_it_was_sent"},
    "ConfirmsBeforeStoring": {"test_full_queue_rejects", "test_refused_message_is_not_stored"},
    "SwallowsCancellation": {
        "test_cancelled_publish_is_stored_once_or_not",
        "test_cancelled_before_it_was_sent",
    },
    "ForgetsExpiry": {"test_expired_message_is_not_delivered", "test_times_are_the_publishers"},
    "DropsHeaders": {"test_headers_come_as_they_were"},
    "IgnoresMandatory": {"test_mandatory_exact", "test_mandatory_looks_at_the_key"},
    "StoresRepeats": {"test_server_dedupe"},
    "LosesUnacked": {"test_unacked_message_comes_again", "test_redelivers_unacked"},
    "SettlesTwice": {"test_second_answer_is_refused"},
    "SettlesStale": {
        "test_answer_after_the_subscription_is_stale",
        "test_answer_to_a_delivery_of_a_dead_link_is_stale",
    },
    "NeverFlagsRedelivered": {"test_nacked_message_comes_again", "test_exact_delivery_count"},
    "CountsFromZero": {
        "test_what_is_not_given_is_not_there",
        "test_exact_delivery_count",
        "test_fifty_redeliveries_lose_nothing",
    },
    "AcksOnException": {"test_failure_ends_at_the_block_and_backs_off"},
    "AcksOnCancel": {
        "test_cancellation_returns_the_message_at_once",
        "test_cancelled_handler_loses_nothing",
    },
    "NeverBacksOff": {"test_failure_ends_at_the_block_and_backs_off"},
    "AllowsOneMore": {
        "test_limit_ends_in_a_dead_letter",
        "test_message_that_crashes_its_consumers",
    },
    "RejectsSilently": {"test_rejected_message_is_a_dead_letter"},
    "IgnoresDelay": {"test_nack_with_delay", "test_nacks_with_several_delays"},
    "HandsOutExpired": {"test_message_that_expires_behind_others_is_not_handed_out"},
    "HandsOutStale": {"test_what_a_dead_link_left_is_not_handed_out"},
    "SwallowsGap": {
        "test_gap_is_an_error_once_without_on_gap",
        "test_queue_that_is_not_durable_is_made_again_with_a_gap",
    },
    "TellsGapTooLate": {"test_gap_is_told_before_the_next_delivery"},
    "EndsIterationInAnOutage": {"test_iteration_survives_an_outage"},
    "LeavesConsumers": {"test_cancelled_subscribing_is_not_taken_up_again"},
    "IgnoresPrefetch": {"test_prefetch_bounds_what_is_unsettled", "test_rest_waits_at_the_broker"},
    "KeepsPrivateQueues": {"test_private_queue_is_gone_afterwards"},
    "SharesPrivateQueues": {"test_every_queue_gets_every_message"},
    "LeaksTask": {"test_nothing_of_a_broker_is_left_running"},
    "ShutsDownUnflushed": {"test_shutdown_flushes"},
    "AnswersAfterShutdown": {"test_call_before_connect_and_after_shutdown"},
    "RoutesEverywhere": {
        "test_direct_routing",
        "test_message_goes_to_the_queues_with_its_key",
        "test_exchange_of_another_kind",
    },
    "ForgetsExchanges": {
        "test_exchange_is_made_again_after_a_loss",
        "test_exchange_that_is_not_durable_is_made_again",
    },
    "HidesThatItIsBlocked": {"test_blocked_publisher_waits"},
    "PromisesSharing": {"test_shared_between_processes"},
}

# It is a small change: of these most brokers pass at least one.
BESIDE = {"test_server_info", "test_limit_can_be_lower", "test_acks_in_any_order"}

PREAMBLE = """\
from uuid import uuid4

import pytest

from asyncbackends.testing import (
    AsyncioHarness,
    BrokerFaultFixtures,
    MessageBrokerConformance,
    MessageBrokerFaultsConformance,
)
from asyncbackends_memory import broker_faults


class Opened(BrokerFaultFixtures):
    @pytest.fixture
    def settings(self):
        return {"engine": self.engine, "endpoints": str(uuid4())}

    @pytest.fixture
    def harness(self):
        return AsyncioHarness(patience=0.5)

    @pytest.fixture
    def link_faults(self, settings):
        return broker_faults(settings["endpoints"])

"""


def suite_of(name: str, engine: str, tests: set[str]) -> str:
    """Give a class with these tests of the kit and no others."""
    lines = [f"class Test{name}(Opened):", f'    engine = "tests.kit.wrong_brokers:{engine}"']
    for test in sorted(tests):
        whole = next(
            whole.__name__
            for whole in (MessageBrokerConformance, MessageBrokerFaultsConformance)
            if hasattr(whole, test)
        )
        lines.append(f"    {test} = {whole}.{test}")
    return "\n".join(lines) + "\n\n"


@pytest.fixture(scope="module")
def caught(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcomes]:
    suites = [suite_of(name, f"{name}_engine", CAUGHT_BY[name] | BESIDE) for name in CAUGHT_BY]
    return outcomes_of(tmp_path_factory.mktemp("kit"), PREAMBLE + "".join(suites))


def test_every_wrong_broker_is_tried() -> None:
    assert {*CAUGHT_BY} == {*WRONG}
    assert len(WRONG) >= 40


@pytest.mark.promise("kit.catches-wrong-engines")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(CAUGHT_BY))
def test_wrong_broker_is_caught(name: str, caught: dict[str, Outcomes]) -> None:
    outcomes = caught[name]
    refused = outcomes.get("failure", set()) | outcomes.get("error", set())
    assert CAUGHT_BY[name] - {test.partition("[")[0] for test in refused} == set()
    assert outcomes["passed"]
    assert "skipped" not in outcomes


@pytest.mark.promise("kit.catches-wrong-engines")
@pytest.mark.timeout(300)
def test_right_broker_passes(tmp_path_factory: pytest.TempPathFactory) -> None:
    tests = BESIDE.union(*CAUGHT_BY.values())
    source = PREAMBLE + suite_of("Right", "right", tests)
    outcomes = outcomes_of(tmp_path_factory.mktemp("kit"), source)
    assert {*outcomes["Right"]} == {"passed"}, outcomes["Right"]
