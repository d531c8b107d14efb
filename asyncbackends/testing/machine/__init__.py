"""A state machine that holds an engine against the memory engine, answer by answer.

Needs hypothesis, which nothing else of the kit does.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from asyncbackends.testing.machine.rules import DatabaseMachine

__all__ = ("ConfigDatabaseAgreement", "DatabaseMachine")


class ConfigDatabaseAgreement:
    """Random operations give the same answers, errors, reads and changes as on the memory engine.

    ::

        class TestMongoAgrees(ConfigDatabaseAgreement):
            engine = "mongo"

            @pytest.fixture
            def fresh_settings(self):
                return lambda: {"engine": "mongo", "namespace": fresh_name()}
    """

    examples: int = 40
    """How many histories are tried."""
    steps: int = 40
    """How many operations each has."""
    derandomize: bool = True
    """The same ones in every run; without it others each time, printed where one fails."""

    @pytest.fixture
    def fresh_settings(self) -> Callable[[], Mapping[str, Any]]:
        """Give settings of another empty database at each call."""
        message = "override the fixture `fresh_settings`: a callable that gives settings"
        raise NotImplementedError(message)

    @pytest.fixture
    def machine_settings(self) -> settings:
        """Give the settings of hypothesis."""
        return self.as_settings()

    def as_settings(self) -> settings:
        """Make the settings of hypothesis from the attributes."""
        return settings(
            max_examples=self.examples,
            stateful_step_count=self.steps,
            derandomize=self.derandomize,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )

    def test_agrees_with_the_memory_engine(
        self, fresh_settings: Callable[[], Mapping[str, Any]], machine_settings: settings
    ) -> None:
        machine: Any = lambda: DatabaseMachine(fresh_settings())  # a factory will do
        run_state_machine_as_test(machine, settings=machine_settings)
