"""The nats engine holds the contract of the coordination service, also across faults."""

from collections.abc import Iterator

import pytest

from asyncbackends.testing.coordination import (
    CoordinationConformance,
    CoordinationFaultsConformance,
)
from asyncbackends.testing.coordination.cancelling import CoordinationCancellingConformance
from asyncbackends.testing.coordination.lost_links import LostLinksConformance
from asyncbackends.testing.coordination.lost_replies import LostRepliesConformance
from asyncbackends.testing.recipes import RecipesConformance, RecipesFaultsConformance
from tests.conformance.served import BehindAProxy, OnAServer, namespace
from tests.servers.nats_session_faults import NatsSessionFaults
from tests.servers.running import Servers

__all__ = ("namespace",)


@pytest.fixture
def proxied(servers: Servers, namespace: str) -> Iterator[NatsSessionFaults]:
    with NatsSessionFaults(servers.get("nats"), namespace) as faults:
        yield faults


class TestNatsCoordination(OnAServer, CoordinationConformance):
    engine = "nats"


class TestNatsCoordinationFaults(BehindAProxy, CoordinationFaultsConformance):
    engine = "nats"


class TestNatsCoordinationOnUvloop(
    BehindAProxy, CoordinationCancellingConformance, LostLinksConformance, LostRepliesConformance
):
    """What depends on the order in which a loop makes its calls."""

    engine = "nats"
    event_loop = "uvloop"


class TestNatsRecipes(OnAServer, RecipesConformance):
    engine = "nats"


class TestNatsRecipesFaults(BehindAProxy, RecipesFaultsConformance):
    engine = "nats"
