"""The conformance kit: inherit a class, say how your engine is opened, and run pytest.

Needs the extra ``testing``. The state machines, which also need hypothesis, are in
:mod:`asyncbackends.testing.machine`, :mod:`asyncbackends.testing.message_broker_machine` and
:mod:`asyncbackends.testing.coordination_machine`.
"""

import pytest

# Before the modules are imported: their assertions show what was compared.
pytest.register_assert_rewrite(
    "asyncbackends.testing.config_database",
    "asyncbackends.testing.coordination",
    "asyncbackends.testing.coordination_machine",
    "asyncbackends.testing.harness",
    "asyncbackends.testing.machine",
    "asyncbackends.testing.message_broker",
    "asyncbackends.testing.message_broker_machine",
    "asyncbackends.testing.recipes",
    "asyncbackends.testing.rpc",
)

from asyncbackends.testing.config_database import (  # after the line above
    KIT_SCHEMA,
    ConfigDatabaseConformance,
    DatabaseFixtures,
)
from asyncbackends.testing.coordination import (  # the same
    CoordinationConformance,
    CoordinationFaultsConformance,
    CoordinationFixtures,
    SessionFaults,
)
from asyncbackends.testing.harness import AsyncioHarness, Harness  # the same
from asyncbackends.testing.message_broker import (  # the same
    BrokerFaultFixtures,
    BrokerFixtures,
    LinkFaults,
    MessageBrokerConformance,
    MessageBrokerFaultsConformance,
)
from asyncbackends.testing.recipes import (  # the same
    RecipesConformance,
    RecipesFaultsConformance,
)
from asyncbackends.testing.rpc import RpcConformance, RpcOutagesConformance  # the same

__all__ = (
    "KIT_SCHEMA",
    "AsyncioHarness",
    "BrokerFaultFixtures",
    "BrokerFixtures",
    "ConfigDatabaseConformance",
    "CoordinationConformance",
    "CoordinationFaultsConformance",
    "CoordinationFixtures",
    "DatabaseFixtures",
    "Harness",
    "LinkFaults",
    "MessageBrokerConformance",
    "MessageBrokerFaultsConformance",
    "RecipesConformance",
    "RecipesFaultsConformance",
    "RpcConformance",
    "RpcOutagesConformance",
    "SessionFaults",
)
