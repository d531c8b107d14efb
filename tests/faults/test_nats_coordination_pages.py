"""What does not fit into one answer of NATS is read in pages, and nodes change between them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends import open_coordination
from asyncbackends.testing.coordination.fixtures import Coordination
from asyncbackends_nats.tree.asking import Answer, Asking
from tests.servers.nats import Nats
from tests.servers.running import Servers

LARGE = b"x" * 900_000
NAMES = [f"{number:02}" for number in range(12)]


@pytest.fixture
def server(servers: Servers) -> Nats:
    return servers.get("nats")


@pytest.fixture
def settings(server: Nats) -> dict[str, Any]:
    return server.settings(namespace=f"t{uuid4().hex[:12]}")


class Between:
    """Does something after every page, for as long as there is something to do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pages = 0
        self._steps: list[Callable[[], Awaitable[object]]] = []
        asked = Asking.ask_many

        async def ask_many(asking: Asking, subject: str, body: bytes) -> list[Answer]:
            answers = await asked(asking, subject, body)
            self.pages += 1
            if self._steps:
                await self._steps.pop(0)()
            return answers

        monkeypatch.setattr(Asking, "ask_many", ask_many)

    def then(self, step: Callable[[], Awaitable[object]]) -> None:
        self._steps.append(step)


@pytest.fixture
async def other(settings: dict[str, Any]) -> AsyncIterator[Coordination]:
    async with open_coordination(**settings) as client:
        for name in NAMES:
            await client.create_node(f"/large/{name}", LARGE)
        yield client


async def test_coordination_changed_between_two_pages_is_listed(
    settings: dict[str, Any], other: Coordination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is on none of them: its last message is too late for the second, its former one gone."""
    async with open_coordination(**settings) as client:
        between = Between(monkeypatch)
        between.then(lambda: other.update_node("/large/11", LARGE))
        between.then(lambda: other.update_node("/large/10", b"1"))
        assert await client.get_children("/large") == NAMES
        assert between.pages > 2


async def test_coordination_all_of_the_rest_changed_after_the_first_page(
    settings: dict[str, Any], other: Coordination, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def all_change() -> None:
        for name in reversed(NAMES):
            await other.update_node(f"/large/{name}", LARGE)

    async with open_coordination(**settings) as client:
        between = Between(monkeypatch)
        between.then(all_change)
        between.then(lambda: other.delete_node("/large/11"))
        assert await client.get_children("/large") == NAMES[:-1]
        assert between.pages > 2
