"""The conformance kit: inherit a class, say how your engine is opened, and run pytest.

Needs the extra ``testing``. The state machine, which also needs hypothesis, is in
:mod:`asyncbackends.testing.machine`.
"""

import pytest

# Before the modules are imported: their assertions show what was compared.
pytest.register_assert_rewrite(
    "asyncbackends.testing.config_database",
    "asyncbackends.testing.harness",
    "asyncbackends.testing.machine",
)

from asyncbackends.testing.config_database import (  # after the line above
    KIT_SCHEMA,
    ConfigDatabaseConformance,
    DatabaseFixtures,
)
from asyncbackends.testing.harness import AsyncioHarness, Harness  # the same

__all__ = (
    "KIT_SCHEMA",
    "AsyncioHarness",
    "ConfigDatabaseConformance",
    "DatabaseFixtures",
    "Harness",
)
