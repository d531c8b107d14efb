"""A link comes back by itself, endpoints in turn, and not where it must not be tried again."""

import asyncio
import logging

import pytest

from asyncbackends.backoff import Backoff
from asyncbackends.clock import ManualClock
from asyncbackends.errors import (
    AuthenticationFailedError,
    BackendError,
    ConnectionFailedError,
    ConnectionLostError,
)
from asyncbackends.linking import Generation, Links
from asyncbackends.mapping import DriverErrors

GONE = ConnectionLostError("gone")


class Link:
    def __init__(self, endpoint: str, generation: Generation) -> None:
        self.endpoint = endpoint
        self.generation = generation
        self.closed = False

    async def close(self) -> None:
        self.closed = True


class AlarmClock(ManualClock):
    """Knows when it last woke somebody, which is before a try begins."""

    woke = 0.0

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        self.woke = asyncio.get_running_loop().time()


class Dialer:
    """Dials as the script says: by endpoint an error, or nothing where it works."""

    def __init__(self, *endpoints: str) -> None:
        self.errors: dict[str, Exception] = {}
        self.dialed: list[str] = []
        self.told: list[str] = []
        self.made: list[Link] = []
        self.up_error: BackendError | None = None
        self.silent: set[str] = set()
        self.waited: list[float] = []
        self.clock = AlarmClock()
        self.links: Links[Link] = Links(
            endpoints,
            self.dial,
            self.up,
            lambda: self.told.append("down"),
            lambda endpoint, _: self.told.append(endpoint or "lost"),
            DriverErrors(self.mapped),
            what="message broker",
            connect_timeout=5,
            backoff=Backoff(0.1, 1),
            clock=self.clock,
            logger=logging.getLogger("asyncbackends.broker"),
            first_patience=0.02,
        )

    async def dial(self, endpoint: str, generation: Generation) -> Link:
        self.dialed.append(endpoint)
        if endpoint in self.errors:
            raise self.errors[endpoint]
        if endpoint in self.silent:
            try:
                await asyncio.Event().wait()
            finally:
                self.waited.append(asyncio.get_running_loop().time() - self.clock.woke)
        link = Link(endpoint, generation)
        self.made.append(link)
        return link

    async def up(self, link: Link) -> None:
        self.told.append("up")
        if self.up_error is not None:
            error, self.up_error = self.up_error, None
            raise error

    @staticmethod
    def mapped(exc: Exception) -> BackendError | None:
        return ConnectionFailedError("mapped") if isinstance(exc, OSError) else None


async def test_first_contact_tries_every_endpoint_once() -> None:
    dialer = Dialer("a", "b")
    dialer.errors = {"a": ConnectionFailedError("refused"), "b": OSError("no route")}
    with pytest.raises(ConnectionFailedError, match=r"a: refused; b: mapped"):
        await dialer.links.first()
    assert dialer.dialed == ["a", "b"]
    del dialer.errors["b"]
    await dialer.links.first()
    assert dialer.dialed == ["a", "b", "a", "b"]
    assert (await dialer.links.wait(1)).endpoint == "b"
    await dialer.links.close()


async def test_wrong_password_is_not_tried_on_the_next_endpoint() -> None:
    dialer = Dialer("a", "b")
    dialer.errors = {"a": AuthenticationFailedError("no")}
    with pytest.raises(AuthenticationFailedError):
        await dialer.links.first()
    assert dialer.dialed == ["a"]


async def test_unknown_error_is_not_hidden() -> None:
    dialer = Dialer("a")
    dialer.errors = {"a": KeyError("a fault of ours")}
    with pytest.raises(KeyError):
        await dialer.links.first()


async def test_lost_link_comes_back_on_the_next_endpoint_that_works() -> None:
    dialer = Dialer("a", "b")
    await dialer.links.first()
    running = asyncio.create_task(dialer.links.run())
    await asyncio.sleep(0)
    dialer.errors = {"a": ConnectionFailedError("refused")}
    dialer.made[0].generation.lost(GONE)
    dialer.made[0].generation.lost(GONE)
    assert dialer.told == ["up", "a", "down", "lost"]
    with pytest.raises(ConnectionLostError):
        await dialer.links.wait(0.01)
    await dialer.clock.advance(2)
    assert (await dialer.links.wait(1)).endpoint == "b"
    running.cancel()
    await asyncio.wait({running})
    await dialer.links.close()
    assert dialer.made[-1].closed


async def test_try_that_is_not_answered_is_given_up_sooner_at_first() -> None:
    """A server that is just starting may accept a connection and never answer on it."""
    dialer = Dialer("a", "b")
    await dialer.links.first()
    running = asyncio.create_task(dialer.links.run())
    dialer.silent = {"a", "b"}
    dialer.made[-1].generation.lost(GONE)
    while len(dialer.waited) < 5:
        await dialer.clock.advance(1)
        await asyncio.sleep(0.005)
    running.cancel()
    await asyncio.wait({running})
    first, second, third, fourth, fifth = dialer.waited[:5]
    assert min(first, second) >= 0.02
    assert min(third, fourth) >= 0.04
    assert 0.08 <= fifth < 2


async def test_link_that_is_lost_while_it_comes_up_is_tried_again() -> None:
    dialer = Dialer("a")
    await dialer.links.first()
    running = asyncio.create_task(dialer.links.run())
    await asyncio.sleep(0)
    dialer.up_error = GONE
    dialer.made[0].generation.lost(GONE)
    await dialer.clock.advance(5)
    assert [link.closed for link in dialer.made] == [True, True, False]
    assert dialer.links.link is dialer.made[2]
    running.cancel()
    await asyncio.wait({running})


async def test_changed_password_ends_the_tries() -> None:
    dialer = Dialer("a", "b")
    await dialer.links.first()
    running = asyncio.create_task(dialer.links.run())
    await asyncio.sleep(0)
    dialer.errors = {"a": AuthenticationFailedError("changed")}
    dialer.made[0].generation.lost(GONE)
    await dialer.clock.advance(5)
    with pytest.raises(AuthenticationFailedError):
        await running
    assert dialer.dialed == ["a", "a"]


async def test_stale_generation_is_not_the_present_one() -> None:
    dialer = Dialer("a")
    await dialer.links.first()
    running = asyncio.create_task(dialer.links.run())
    await asyncio.sleep(0)
    dialer.made[0].generation.lost(GONE)
    await dialer.clock.advance(5)
    dialer.made[0].generation.lost(GONE)
    assert dialer.links.link is dialer.made[1]
    running.cancel()
    await asyncio.wait({running})


def test_backoff_doubles_to_its_most() -> None:
    backoff = Backoff(0.1, 30)
    ceilings = [backoff.ceiling(tries) for tries in (1, 2, 3, 20, 10_000)]
    assert ceilings == [0.1, 0.2, 0.4, 30, 30]
    assert all(0 <= backoff.full_jitter(5) <= 1.6 for _ in range(100))
    assert all(0.8 <= backoff.half_jitter(5) <= 1.6 for _ in range(100))
