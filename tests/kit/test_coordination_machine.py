"""The state machine finds what a wrong coordination service answers differently."""

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from asyncbackends.testing.coordination_machine import CoordinationMachine

pytestmark = pytest.mark.promise("kit.catches-wrong-engines")


class Impatient(CoordinationMachine):
    patience = 0.1


def run(engine: str) -> None:
    name = f"tests.kit.wrong_coordination:{engine}"
    machine: Any = lambda: Impatient(
        {"engine": name, "endpoints": str(uuid4())}
    )  # a factory will do
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            derandomize=True,
            deadline=None,
            database=None,
            # What is found is not made smaller: nobody reads it.
            phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


@pytest.mark.parametrize(
    "wrong",
    [
        "ForgetsEphemeral",
        "KeepsSessionOnShutdown",
        "ReadsStale",
        "HalfAppliesTransaction",
        "CountsPlaces",
        "OrdersContendersByName",
        "DeletesSiblingPrefix",
        "SkipsEqualUpdate",
        "IgnoresExpectedVersion",
        "GivesNoChildrenOfNothing",
        "LosesEvent",
        "RepeatsEvent",
        "MergesGoingAndComing",
        "ForgetsInitial",
        "WatchesTooMuch",
    ],
)
def test_machine_finds_a_wrong_service(wrong: str) -> None:
    # Also a crash of the comparison itself is a difference: an answer of another shape. And what
    # depends on the names of entries, which are drawn by the service, is not found every time.
    with pytest.raises((AssertionError, ExceptionGroup, Flaky)):
        run(f"{wrong}_engine")


def test_machine_agrees_with_the_right_service() -> None:
    run("right")
