"""A state machine that holds a message broker against a model of exchanges and queues.

Needs hypothesis, which nothing else of the kit does.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from asyncbackends.testing.message_broker.link_faults import LinkFaults
from asyncbackends.testing.message_broker_machine.rules import MessageBrokerMachine

__all__ = ("MessageBrokerAgreement", "MessageBrokerMachine")


class MessageBrokerAgreement:
    """Random declaring, publishing, consuming, settling and cutting of links, beside a model.

    ::

        class TestPigeonsAgree(MessageBrokerAgreement):
            engine = "pigeons"

            @pytest.fixture
            def fresh_settings(self):
                return lambda: {"engine": "pigeons", "namespace": fresh_name()}
    """

    examples: int = 40
    """How many histories are tried."""
    steps: int = 40
    """How many operations each has."""
    derandomize: bool = True
    """The same ones in every run; without it others each time, printed where one fails."""

    @pytest.fixture
    def fresh_settings(self) -> Callable[[], Mapping[str, Any]]:
        """Give settings of another empty broker at each call."""
        message = "override the fixture `fresh_settings`: a callable that gives settings"
        raise NotImplementedError(message)

    @pytest.fixture
    def fresh_faults(self) -> Callable[[Mapping[str, Any]], LinkFaults] | None:
        """Give what makes the hand that breaks links, from settings; None breaks none."""
        return None

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

    def test_agrees_with_the_model(
        self,
        fresh_settings: Callable[[], Mapping[str, Any]],
        fresh_faults: Callable[[Mapping[str, Any]], LinkFaults] | None,
        machine_settings: settings,
    ) -> None:
        machine: Any = lambda: MessageBrokerMachine(  # a factory will do
            fresh_settings(), fresh_faults
        )
        run_state_machine_as_test(machine, settings=machine_settings)
