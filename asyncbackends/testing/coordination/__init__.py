"""The conformance kit of the coordination service: a class of tests per subject."""

from asyncbackends.testing.coordination.cancelling import CoordinationCancellingConformance
from asyncbackends.testing.coordination.contending import ContendingConformance
from asyncbackends.testing.coordination.ephemerals import EphemeralsConformance
from asyncbackends.testing.coordination.expiring import ExpiringSessionsConformance
from asyncbackends.testing.coordination.fixtures import (
    CoordinationFixtures,
    FaultFixtures,
    SessionFaults,
)
from asyncbackends.testing.coordination.guarantees import CoordinationGuaranteesConformance
from asyncbackends.testing.coordination.lifecycle import CoordinationLifecycleConformance
from asyncbackends.testing.coordination.lost_links import LostLinksConformance
from asyncbackends.testing.coordination.lost_replies import LostRepliesConformance
from asyncbackends.testing.coordination.lost_sessions import LostSessionsConformance
from asyncbackends.testing.coordination.mastering import MasteringConformance
from asyncbackends.testing.coordination.nodes import NodesConformance
from asyncbackends.testing.coordination.paths import PathsConformance
from asyncbackends.testing.coordination.processes import CoordinationProcessesConformance
from asyncbackends.testing.coordination.sessions import SessionsConformance
from asyncbackends.testing.coordination.transactions import TransactionsConformance
from asyncbackends.testing.coordination.values import NodeValuesConformance
from asyncbackends.testing.coordination.versions import VersionsConformance
from asyncbackends.testing.coordination.watch_beginnings import WatchBeginningsConformance
from asyncbackends.testing.coordination.watch_histories import WatchHistoriesConformance
from asyncbackends.testing.coordination.watching import WatchingConformance

__all__ = (
    "CoordinationConformance",
    "CoordinationFaultsConformance",
    "CoordinationFixtures",
    "FaultFixtures",
    "SessionFaults",
)


class CoordinationConformance(
    PathsConformance,
    NodeValuesConformance,
    NodesConformance,
    VersionsConformance,
    EphemeralsConformance,
    TransactionsConformance,
    WatchingConformance,
    WatchBeginningsConformance,
    WatchHistoriesConformance,
    ContendingConformance,
    SessionsConformance,
    ExpiringSessionsConformance,
    MasteringConformance,
    CoordinationLifecycleConformance,
    CoordinationCancellingConformance,
    CoordinationGuaranteesConformance,
    CoordinationProcessesConformance,
):
    """All that an engine of the kind ``coordination`` has to hold.

    Inherit it, name the engine, and say in the fixture ``settings`` how the service is opened::

        class TestConsul(CoordinationConformance):
            engine = "consul"

            @pytest.fixture
            def settings(self):
                return {"engine": "consul", "endpoints": "localhost:8500"}

    Every test works below a path of its own, so the service need not be empty. Nothing is skipped:
    what an engine declares must hold. A suite that can provoke faults inherits
    CoordinationFaultsConformance, too, and gives them by the fixture ``faults``.
    """


class CoordinationFaultsConformance(
    LostSessionsConformance,
    LostLinksConformance,
    LostRepliesConformance,
):
    """What an engine of the kind ``coordination`` holds through lost sessions, links and replies.

    For a suite that can provoke them: give ``settings`` as for CoordinationConformance, and the
    faults of the service by the fixture ``faults``.
    """
