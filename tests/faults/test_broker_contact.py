"""First contact, passwords and TLS: the right error at once, and no secret to whom it is not for."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from asyncbackends import ConnectionState, MessageBroker
from asyncbackends.errors import (
    AuthenticationFailedError,
    ConnectionFailedError,
    TlsFailedError,
)
from tests.faults.broker_products import fresh_arguments
from tests.faults.broker_runs import BrokerTrials
from tests.faults.broker_trials import BrokerTrial, Ending, RunBrokerTrial, each_broker
from tests.faults.listener import ALERT, APPLICATION_DATA, HANDSHAKE, Listener, records
from tests.faults.server_trials import caused_by
from tests.servers.certificates import Identity
from tests.servers.process import free_port
from tests.servers.proxy import Proxy
from tests.servers.server import Server

WRONG, CHANGED = "not-the-passw0rd-äöü", "an0ther-passw0rd"
AT_ONCE = 1.0

pytestmark = [each_broker, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", autouse=True)
def no_servers_stay(broker_trials: BrokerTrials) -> Generator[None]:
    """Some servers are started for these tests alone."""
    yield
    broker_trials.fleet.close()


@pytest.mark.promise("broker.first-contact-is-bounded")
def test_first_contact(
    run_broker_trial: RunBrokerTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_broker_trial(first_contact))


async def first_contact(trial: BrokerTrial) -> str:
    dead, live = f"127.0.0.1:{free_port()}", trial.server.endpoint
    nobody = await trial.refusal(endpoints=dead, connect_timeout=10)
    assert dead in str(nobody.failed(ConnectionFailedError))
    assert nobody.seconds < AT_ONCE
    slowest = 0.0
    for endpoints in ([dead, live], [live, dead]):
        opened = await trial.ending(open_and_close(trial, endpoints=endpoints))
        assert opened.error is None
        assert opened.seconds < AT_ONCE
        slowest = max(slowest, opened.seconds)
    await trial.freeze()
    silent = await trial.refusal(connect_timeout=AT_ONCE)
    assert live in str(silent.failed(ConnectionFailedError))
    assert silent.seconds < 2 * AT_ONCE
    both = await trial.refusal(endpoints=[dead, live], connect_timeout=AT_ONCE)
    told = str(both.failed(ConnectionFailedError))
    assert dead in told
    assert live in told
    assert both.seconds < 2 * AT_ONCE
    await trial.thaw()
    return (
        f"{trial.engine}: a dead endpoint is told after {nobody.seconds:.2f} s, passed over for a "
        f"live one in {slowest:.2f} s, a silent one given up after {silent.seconds:.1f} of 1 s"
    )


async def open_and_close(trial: BrokerTrial, **others: Any) -> None:
    async with trial.open(**others) as broker:
        await broker.create_exchange("events")
        await broker.publish({"n": 1}, exchange="events")


@pytest.mark.promise("broker.wrong-password-is-tried-once")
def test_wrong_password(
    run_broker_trial: RunBrokerTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_broker_trial(wrong_password))


async def wrong_password(trial: BrokerTrial) -> str:
    trial.secrets.add(WRONG)
    async with Proxy(trial.server.endpoint) as proxy:
        wrong = await trial.refusal(password=WRONG, endpoints=proxy.endpoint)
        assert not wrong.failed(AuthenticationFailedError).retryable
        assert wrong.seconds < AT_ONCE
        assert proxy.accepted == 1
        # Another endpoint is no reason to try the same password again.
        twice = await trial.refusal(password=WRONG, endpoints=[proxy.endpoint, proxy.endpoint])
        twice.failed(AuthenticationFailedError)
        assert proxy.accepted == 2
        nothing = await trial.refusal(username=None, password=None, endpoints=proxy.endpoint)
        nothing.failed(AuthenticationFailedError)
        for ending in (twice, nothing):
            assert ending.seconds < AT_ONCE
    return f"{trial.engine}: a wrong password is told after {wrong.seconds:.2f} s, tried once"


@pytest.mark.promise("broker.wrong-password-is-tried-once")
def test_password_is_changed(
    run_broker_trial: RunBrokerTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_broker_trial(password_is_changed))


async def password_is_changed(trial: BrokerTrial) -> str:
    """An account that locks itself after some wrong passwords is not locked by us."""
    right = trial.server.password
    trial.secrets |= {right, CHANGED}
    async with (
        Proxy(trial.server.endpoint) as proxy,
        trial.open(endpoints=proxy.endpoint) as broker,
    ):
        await broker.create_exchange("events")
        async with broker.subscribe("events", "work") as deliveries:
            following = asyncio.create_task(trial.ending(anext(aiter(deliveries))))
            before = proxy.accepted
            await trial.fleet.do(trial.product.change_password, CHANGED)
            try:
                ended = await trial.in_state(broker, ConnectionState.CLOSED)
                await told_of_it(trial, broker, following)
                await asyncio.sleep(0.5)
                tried = proxy.accepted - before
                # Each of the two links may have been on its way.
                assert tried <= 2, f"{tried} logins"
            finally:
                await trial.fleet.do(trial.product.change_password, right)
    return f"{trial.engine}: the supervisor stopped {ended:.2f} s later, after {tried} logins"


async def told_of_it(
    trial: BrokerTrial, broker: MessageBroker, following: asyncio.Task[Ending]
) -> None:
    """See that whoever waits, and whoever comes later, hears why it is over."""
    async with asyncio.timeout(2):
        endings = [
            await following,
            await trial.ending(broker.publish({"n": 1}, exchange="events")),
            await trial.ending(broker.create_exchange("others")),
            await trial.ending(broker.flush()),
        ]
    for ending in endings:
        assert isinstance(caused_by(ending.error), AuthenticationFailedError), repr(ending.error)


class Case:
    """Servers with and without TLS, and what a client makes of them."""

    def __init__(self, trial: BrokerTrial, stack: AsyncExitStack) -> None:
        self.trial = trial
        self.authorities = trial.fleet.certificates
        self._stack = stack

    async def server(self, identity: Identity | None = None) -> Server:
        """Give one with TLS."""
        name = identity.certificate.name if identity else "right"
        return await self.trial.fleet.shared(
            self.trial.engine,
            name,
            tls=self.authorities,
            identity=identity,
            **fresh_arguments(self.trial.engine),
        )

    async def listener(self, server: Server) -> Listener:
        return await self._stack.enter_async_context(Listener(server))

    def settings(self, listener: Listener, **others: Any) -> dict[str, Any]:
        given = {"tls": "on", "tls_ca_file": str(self.authorities.ca)}
        return {"endpoints": listener.endpoint, **given, **others}

    async def refused(self, server: Server, **others: Any) -> Ending:
        """See a server refused, at the first try and at once, before a login was sent to it."""
        listener = await self.listener(server)
        ending = await self.trial.refusal(server, **self.settings(listener, **others))
        ending.failed(TlsFailedError)
        assert ending.seconds < AT_ONCE
        self.check_nothing_secret(listener, server)
        sent = bytes(listener.sent[0])
        if sent:
            found = records(sent)
            assert found.get(HANDSHAKE)
            assert found.get(APPLICATION_DATA, 0) <= ALERT
        return ending

    def check_nothing_secret(self, listener: Listener, server: Server) -> None:
        assert len(listener.sent) == 1, f"{len(listener.sent)} tries"
        assert server.username.encode() not in listener.everything
        assert server.password.encode() not in listener.everything


@pytest.mark.promise("broker.tls-or-nothing")
def test_tls(run_broker_trial: RunBrokerTrial, engine: str, figure: Callable[[str], None]) -> None:
    figure(run_broker_trial(tls_or_nothing))


async def tls_or_nothing(trial: BrokerTrial) -> str:
    async with AsyncExitStack() as stack:
        case = Case(trial, stack)
        given, plain = case.authorities, trial.server
        right, expired = await asyncio.gather(case.server(), case.server(given.expired))
        wrong_ca = await case.refused(right, tls_ca_file=str(given.other_ca))
        assert "certificate" in str(wrong_ca.error).lower()
        await case.refused(right, tls_server_name="elsewhere.example")
        # The operating system's authorities do not know ours.
        await case.refused(right, tls_ca_file=None)
        assert "expired" in str((await case.refused(expired)).error)
        told = await case.refused(plain)
        assert "TLS" in str(told.error)
        # The other way round.
        listener = await case.listener(right)
        nothing = {"tls": "off", "tls_ca_file": None}
        refusal = await trial.refusal(right, endpoints=listener.endpoint, **nothing)
        assert isinstance(refusal.error, ConnectionFailedError)
        assert refusal.seconds < AT_ONCE
        case.check_nothing_secret(listener, right)
        # So would it look if it were not TLS.
        listener = await case.listener(plain)
        async with trial.open(plain, endpoints=listener.endpoint):
            assert plain.username.encode() in listener.everything
            assert plain.password.encode() in listener.everything
        listener = await case.listener(right)
        async with trial.open(right, **case.settings(listener)) as broker:
            await broker.create_exchange("a-secret-name")
            await broker.publish({"n": "a-secret-body"}, exchange="a-secret-name")
            for sent in listener.sent:
                assert records(bytes(sent)).get(APPLICATION_DATA, 0) > ALERT
            # Somebody stands in the way later on who offers none.
            before = len(listener.sent)
            listener.upstream = plain
            listener.cut()
            await trial.in_state(broker, ConnectionState.CLOSED)
            ending = await trial.ending(broker.publish({"n": 2}, exchange="a-secret-name"))
            assert isinstance(caused_by(ending.error), TlsFailedError), repr(ending.error)
            for word in (right.username, right.password, "a-secret-name", "a-secret-body"):
                assert word.encode() not in listener.everything
            for sent in listener.sent[before:]:
                assert records(bytes(sent)).get(APPLICATION_DATA, 0) <= ALERT
    return f"{trial.engine}: 7 wrong matches, 0 bytes of credentials, told in under {AT_ONCE:g} s"
