"""The state machine finds what a wrong message broker does differently."""

import logging
from collections.abc import Generator
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from asyncbackends.testing.message_broker_machine import MessageBrokerMachine
from asyncbackends_memory import broker_faults

pytestmark = pytest.mark.promise("kit.catches-wrong-engines")


@pytest.fixture(autouse=True)
def quiet_logs() -> Generator[None]:
    """Thousands of lost links are not worth a line each."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def run(engine: str, examples: int = 100) -> None:
    name = f"tests.kit.wrong_brokers:{engine}"
    machine: Any = lambda: MessageBrokerMachine(  # a factory will do
        {"engine": name, "endpoints": str(uuid4())},
        lambda opened: broker_faults(opened["endpoints"]),
        patience=0.5,
    )
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
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
        "CountsFromZero",
        "ForgetsUnconfirmed",
        "HandsOutStale",
        "IgnoresPrefetch",
        "LosesDeath",
        "LosesUnacked",
        "ReordersAfterReconnect",
        "RoutesEverywhere",
        "SettlesStale",
        "SettlesTwice",
        "StoresRepeats",
        "SwallowsGap",
    ],
)
def test_machine_finds_a_wrong_broker(wrong: str) -> None:
    with pytest.raises((AssertionError, ExceptionGroup)):
        run(f"{wrong}_engine")


def test_machine_agrees_with_the_right_broker() -> None:
    run("right", 5)
