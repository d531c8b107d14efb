"""A state machine that holds a coordination service against a dict, answer by answer.

Needs hypothesis, as :mod:`asyncbackends.testing.machine` does.
"""

from collections.abc import Mapping
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck
from hypothesis.stateful import run_state_machine_as_test

from asyncbackends.testing.coordination_machine.rules import CoordinationMachine

__all__ = ("CoordinationAgreement", "CoordinationMachine")


class CoordinationAgreement:
    """Random operations of two clients give the answers of a dict, and watches tell its changes.

    Every history works below a path of its own, so the service need not be empty::

        class TestConsulAgrees(CoordinationAgreement):
            engine = "consul"

            @pytest.fixture
            def settings(self):
                return {"engine": "consul", "endpoints": "localhost:8500"}
    """

    examples: int = 40
    """How many histories are tried."""
    steps: int = 40
    """How many operations each has."""
    derandomize: bool = True
    """The same ones in every run; without it others each time, printed where one fails."""

    @pytest.fixture
    def settings(self) -> Mapping[str, Any]:
        """Keyword arguments of ``open_coordination``."""
        message = "override the fixture `settings`: keyword arguments of open_coordination"
        raise NotImplementedError(message)

    @pytest.fixture
    def machine_settings(self) -> hypothesis.settings:
        """Give the settings of hypothesis."""
        return self.as_settings()

    def as_settings(self) -> hypothesis.settings:
        """Make the settings of hypothesis from the attributes."""
        return hypothesis.settings(
            max_examples=self.examples,
            stateful_step_count=self.steps,
            derandomize=self.derandomize,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )

    def test_agrees_with_the_dict(
        self, settings: Mapping[str, Any], machine_settings: hypothesis.settings
    ) -> None:
        machine: Any = lambda: CoordinationMachine(settings)  # a factory will do
        run_state_machine_as_test(machine, settings=machine_settings)
