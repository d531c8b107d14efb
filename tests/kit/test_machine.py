"""The state machine finds what a wrong engine answers differently."""

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from asyncbackends.testing.machine import DatabaseMachine

pytestmark = pytest.mark.promise("kit.catches-wrong-engines")


def run(engine: str) -> None:
    name = f"tests.kit.wrong_engines:{engine}"
    machine: Any = lambda: DatabaseMachine(
        {"engine": name, "endpoints": str(uuid4())}
    )  # a factory will do
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
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
        "OrdersListsAsText",
        "ReadsInOrderOfIds",
        "RaisesWrongError",
        "SkipsMissing",
        "KeepsShares",
        "GivesEmptyLastPage",
        "DeletesReferenced",
        "RepeatsEvent",
        "RewritesRepeatedCreate",
        "IgnoresExpectedRevision",
    ],
)
def test_machine_finds_a_wrong_engine(wrong: str) -> None:
    # Also a crash of the comparison itself is a difference: an answer of another shape.
    with pytest.raises((AssertionError, ExceptionGroup)):
        run(f"{wrong}_engine")


def test_machine_agrees_with_the_right_engine() -> None:
    run("right")
