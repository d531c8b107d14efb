"""First contact, passwords and TLS: the right error at once, and no secret to whom it is not for."""

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from asyncbackends import ConnectionState
from asyncbackends.errors import (
    AccessDeniedError,
    AuthenticationFailedError,
    BackendError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    TlsFailedError,
)
from tests.faults.coordination_products import coordination_arguments
from tests.faults.coordination_runs import CoordinationTrials
from tests.faults.coordination_trials import (
    CoordinationTrial,
    RunCoordinationTrial,
    Seen,
    beside,
    each_coordination,
)
from tests.faults.listener import ALERT, APPLICATION_DATA, Listener, records
from tests.faults.server_trials import Ending, caused_by
from tests.servers.certificates import Identity
from tests.servers.process import free_port
from tests.servers.proxy import Proxy
from tests.servers.server import Server

WRONG = "not-the-passw0rd-äöü"
AT_ONCE = 1.5
BUSY = 1.6

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", autouse=True)
def no_servers_stay(coordination_trials: CoordinationTrials) -> Generator[None]:
    """Some servers are started for these tests alone."""
    yield
    coordination_trials.fleet.close()


@each_coordination
@pytest.mark.promise("coordination.first-contact-is-bounded")
def test_first_contact(
    run_coordination_trial: RunCoordinationTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_coordination_trial(first_contact))


async def first_contact(trial: CoordinationTrial) -> str:
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
    # One that is busy is waited for, whatever share of its time a session could spare. (A NATS
    # server itself waits 2 s for who does not log in.)
    async with Proxy(live) as proxy:
        proxy.freeze()
        asyncio.get_running_loop().call_later(BUSY, proxy.thaw)
        late = await trial.ending(open_and_close(trial, endpoints=proxy.endpoint, session_ttl=2.0))
        assert late.error is None
        assert late.seconds >= BUSY
    await trial.freeze()
    # What is asked of it meanwhile it does later: a session that nobody has ends with its ttl.
    short = {"connect_timeout": AT_ONCE, "session_ttl": 2.0}
    silent = await trial.refusal(**short)
    assert live in str(silent.failed(ConnectionFailedError))
    assert silent.seconds < 2 * AT_ONCE
    both = await trial.refusal(endpoints=[dead, live], **short)
    told = str(both.failed(ConnectionFailedError))
    assert dead in told
    assert live in told
    assert both.seconds < 2 * AT_ONCE
    await trial.thaw()

    async def nobody_is_left() -> bool:
        return await trial.sessions() == trial.known_before

    await asyncio.sleep(0.5)
    await trial.settled(nobody_is_left, "a session stays", patience=8)
    return (
        f"{trial.engine}: a dead endpoint is told after {nobody.seconds:.2f} s, passed over for a "
        f"live one in {slowest:.2f} s, a silent one given up after {silent.seconds:.1f} of "
        f"{AT_ONCE:g} s, a busy one waited for"
    )


async def open_and_close(trial: CoordinationTrial, **others: Any) -> None:
    async with trial.open(**others) as one:
        await one.create_node("/here", ephemeral=True)


@each_coordination
@pytest.mark.promise("coordination.endpoints-stand-in-for-one-another")
def test_endpoints(
    run_coordination_trial: RunCoordinationTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_coordination_trial(endpoints_stand_in))


async def endpoints_stand_in(trial: CoordinationTrial) -> str:
    """Three ways to one service: one is dead for good, and of the others first one ends."""
    turns, slowest, seen = 6, 0.0, Seen()
    dead = f"127.0.0.1:{free_port()}"
    async with (
        Proxy(trial.server.endpoint) as first,
        Proxy(trial.server.endpoint) as second,
        trial.open(endpoints=[dead, first.endpoint, second.endpoint]) as one,
    ):
        session = one.session
        await one.create_node("/here/mine", ephemeral=True)
        async with beside(seen.follow(one.watch("/here", scope="tree", initial=True))):
            expected = {"/here", "/here/mine"}
            await seen.shows(expected)
            for turn in range(turns):
                dying, other = (first, second) if turn % 2 == 0 else (second, first)
                assert dying.connections
                assert not other.connections
                other.refuse, dying.refuse = False, True
                dying.cut()
                began = time.monotonic()
                await one.exists("/here/mine")
                await one.create_node(f"/here/{turn}")
                slowest = max(slowest, time.monotonic() - began)
                expected.add(f"/here/{turn}")
                await seen.shows(expected)
            assert one.session is session
            assert len(seen.gaps) == turns
    return (
        f"{trial.engine}: {turns} times the way to the service ended: the other one was used "
        f"after at most {slowest:.2f} s, past a dead endpoint, with the same session"
    )


@each_coordination
@pytest.mark.promise("coordination.wrong-password-is-told")
def test_wrong_password(
    run_coordination_trial: RunCoordinationTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_coordination_trial(wrong_password))


async def wrong_password(trial: CoordinationTrial) -> str:
    trial.secrets.add(WRONG)
    if trial.engine == "zookeeper":
        return await another_password(trial)
    async with Proxy(trial.server.endpoint) as proxy:
        wrong = await trial.refusal(password=WRONG, endpoints=proxy.endpoint)
        assert not wrong.failed(AuthenticationFailedError).retryable
        assert wrong.seconds < AT_ONCE
        # Another endpoint is no reason to try the same password again.
        before = proxy.accepted
        twice = await trial.refusal(password=WRONG, endpoints=[proxy.endpoint, proxy.endpoint])
        twice.failed(AuthenticationFailedError)
        assert proxy.accepted == before + 1
        nothing = await trial.refusal(username=None, password=None, endpoints=proxy.endpoint)
        assert isinstance(nothing.error, AuthenticationFailedError | AccessDeniedError)
        for ending in (twice, nothing):
            assert ending.seconds < AT_ONCE
    return f"{trial.engine}: a wrong password is told after {wrong.seconds:.2f} s, tried once"


async def another_password(trial: CoordinationTrial) -> str:
    """ZooKeeper lets everybody in, and nobody at another's nodes."""
    async with trial.open() as one:
        await one.create_node("/mine", b"secret")
        wrong = await trial.ending(read_mine(trial, password=WRONG))
        assert isinstance(wrong.error, AccessDeniedError | AuthenticationFailedError)
        assert wrong.seconds < AT_ONCE
        nothing = await trial.ending(read_mine(trial, username=None, password=None, acl="open"))
        assert isinstance(nothing.error, AccessDeniedError | AuthenticationFailedError)
        assert await one.read_node("/mine") == b"secret"
    return f"{trial.engine}: whoever has another password is told so after {wrong.seconds:.2f} s"


async def read_mine(trial: CoordinationTrial, **others: Any) -> bytes:
    async with trial.open(**others) as other:
        return await other.read_node("/mine")


class Case:
    """What the trials of TLS have at hand."""

    def __init__(self, trial: CoordinationTrial, stack: AsyncExitStack) -> None:
        self.trial = trial
        self._stack = stack
        self.authorities = trial.fleet.certificates

    async def server(self, identity: Identity | None = None, **arguments: Any) -> Server:
        name = (identity or self.authorities.server).certificate.stem
        if arguments.get("client_certificates"):
            name += "-with-clients"
        arguments = {"tls": self.authorities, "identity": identity, **arguments}
        arguments = coordination_arguments(self.trial.engine, **arguments)
        if arguments.get("client_certificates") and self.trial.engine == "etcd":
            # It takes the certificate's name for a login.
            del arguments["accounts"]
        return await self.trial.fleet.shared(self.trial.engine, name, **arguments)

    async def listener(self, server: Server) -> Listener:
        return await self._stack.enter_async_context(Listener(server))

    def settings(self, listener: Listener, **others: Any) -> dict[str, Any]:
        tls = {"tls": "on", "tls_ca_file": str(self.authorities.ca)}
        return {**tls, "endpoints": listener.endpoint, **others}

    async def refused(
        self,
        server: Server,
        kinds: tuple[type[BackendError], ...] = (TlsFailedError,),
        **others: Any,
    ) -> Ending:
        """See that it is refused before a login was sent to it."""
        listener = await self.listener(server)
        ending = await self.trial.refusal(server, **self.settings(listener, **others))
        assert type(ending.error) in kinds, repr(ending.error)
        assert ending.seconds < AT_ONCE
        self.check_nothing_secret(listener, server)
        for sent in listener.sent:
            assert records(bytes(sent)).get(APPLICATION_DATA, 0) <= ALERT
        return ending

    def check_nothing_secret(self, listener: Listener, server: Server) -> None:
        assert listener.sent, "nobody came"
        assert server.username.encode() not in listener.everything
        assert server.password.encode() not in listener.everything


@each_coordination
@pytest.mark.promise("coordination.tls-or-nothing")
def test_tls(
    run_coordination_trial: RunCoordinationTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_coordination_trial(tls_or_nothing))


async def tls_or_nothing(trial: CoordinationTrial) -> str:
    async with AsyncExitStack() as stack:
        case = Case(trial, stack)
        given, plain = case.authorities, trial.server
        right, expired = await asyncio.gather(case.server(), case.server(given.expired))
        wrong_ca = await case.refused(right, tls_ca_file=str(given.other_ca))
        assert "certificate" in str(wrong_ca.error).lower()
        await case.refused(right, tls_server_name="elsewhere.example")
        # The operating system's authorities do not know ours.
        await case.refused(right, tls_ca_file=None)
        await case.refused(expired)
        # Not every server says anything before it hangs up.
        await case.refused(plain, kinds=(TlsFailedError, ConnectionFailedError))
        # The other way round.
        listener = await case.listener(right)
        nothing = {"tls": "off", "tls_ca_file": None}
        refusal = await trial.refusal(right, endpoints=listener.endpoint, **nothing)
        assert isinstance(refusal.error, ConnectionFailedError)
        case.check_nothing_secret(listener, right)
        # So would it look if it were not TLS.
        listener = await case.listener(plain)
        async with trial.open(plain, endpoints=listener.endpoint):
            assert plain.username.encode() in listener.everything
            assert plain.password.encode() in listener.everything
        listener = await case.listener(right)
        soon = {"operation_timeout": 2.0}
        async with trial.open(right, **case.settings(listener, **soon)) as one:
            await one.create_node("/a-secret-name", b"a-secret-value")
            for sent in listener.sent:
                assert records(bytes(sent)).get(APPLICATION_DATA, 0) > ALERT
            # Somebody stands in the way later on who offers none.
            before = len(listener.sent)
            listener.upstream = plain
            listener.cut()

            async def is_away() -> bool:
                return one.state in {ConnectionState.CLOSED, ConnectionState.DISCONNECTED}

            await trial.settled(is_away, "it is not told")
            ending = await trial.ending(one.read_node("/a-secret-name"))
            away = TlsFailedError, ConnectionLostError
            assert isinstance(caused_by(ending.error), away), repr(ending.error)
            assert len(listener.sent) > before, "nobody came"
            for word in (right.username, right.password, "a-secret-name", "a-secret-value"):
                assert word.encode() not in listener.everything
            for sent in listener.sent[before:]:
                assert records(bytes(sent)).get(APPLICATION_DATA, 0) <= ALERT
    return f"{trial.engine}: 7 wrong matches, 0 bytes of credentials, told in under {AT_ONCE:g} s"


@each_coordination
@pytest.mark.promise("coordination.client-certificates")
def test_client_certificates(
    run_coordination_trial: RunCoordinationTrial, engine: str, figure: Callable[[str], None]
) -> None:
    figure(run_coordination_trial(client_certificates))


async def client_certificates(trial: CoordinationTrial) -> str:
    async with AsyncExitStack() as stack:
        case = Case(trial, stack)
        given = case.authorities
        server = await case.server(client_certificates=True)
        # etcd would take the certificate's name for the user.
        nobody = {"username": None, "password": None} if trial.engine == "etcd" else {}
        async with trial.open(server, **nobody) as one:
            await one.create_node("/here")
        without = await trial.refusal(server, tls_cert_file=None, tls_key_file=None, **nobody)
        assert isinstance(without.error, ConnectionFailedError)
        unknown = await trial.refusal(
            server,
            tls_cert_file=str(given.unknown_client.certificate),
            tls_key_file=str(given.unknown_client.key),
            **nobody,
        )
        assert isinstance(unknown.error, ConnectionFailedError)
        for ending in (without, unknown):
            assert ending.seconds < 3
        # Files that cannot be used are a matter of the settings; nothing is contacted.
        missing = await trial.refusal(server, tls_ca_file="/nowhere/ca.pem", **nobody)
        assert "/nowhere/ca.pem" in str(missing.failed(ConfigurationError))
    return f"{trial.engine}: without a certificate told after {without.seconds:.2f} s"
