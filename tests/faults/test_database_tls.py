"""TLS or nothing: whatever is wrong with it, no name and no password is sent in plain text."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends.errors import (
    AuthenticationFailedError,
    ConfigurationError,
    ConnectionFailedError,
    TlsFailedError,
)
from tests.faults.database_runs import Trials
from tests.faults.database_trials import RunTrial, Trial, each_driver
from tests.faults.listener import ALERT, APPLICATION_DATA, HANDSHAKE, Listener, records
from tests.faults.server_trials import Ending
from tests.servers.certificates import Identity
from tests.servers.server import DatabaseServer

pytestmark = [each_driver, pytest.mark.timeout(200)]

ASKS_FOR_TLS = {"postgres": 8, "mysql": 36}
"""The bytes with which a client asks for TLS, in plain text: no name is in them."""


@pytest.fixture(scope="module", autouse=True)
def no_servers_stay(trials: Trials) -> Generator[None]:
    """Several servers are started for these tests alone."""
    yield
    trials.fleet.close()


class Case:
    """One server and what a client that trusts this or that makes of it."""

    def __init__(self, trial: Trial, stack: AsyncExitStack) -> None:
        self.trial = trial
        self.authorities = trial.fleet.certificates
        self._stack = stack

    async def server(self, identity: Identity | None = None, **options: Any) -> DatabaseServer:
        """Give one with TLS."""
        name = f"{options} {identity.certificate.name if identity else 'right'}"
        return await self.trial.fleet.shared(
            self.trial.engine, name, tls=self.authorities, identity=identity, **options
        )

    async def plain_server(self) -> DatabaseServer:
        """Give one without it."""
        # MariaDB from 11.4 on and MySQL make certificates of their own.
        options = {"skip-ssl": "ON"} if self.trial.engine == "mysql" else {}
        return await self.trial.fleet.shared(self.trial.engine, "plain", options=options)

    async def listener(self, server: DatabaseServer) -> Listener:
        return await self._stack.enter_async_context(Listener(server))

    def settings(self, listener: Listener, **others: Any) -> dict[str, Any]:
        return {
            "endpoints": listener.endpoint,
            "tls": "on",
            "tls_ca_file": str(self.authorities.ca),
            **others,
        }

    async def refused(self, server: DatabaseServer, **others: Any) -> Ending:
        """See a server refused, at the first try, before a login was sent to it."""
        trial = self.trial
        listener = await self.listener(server)
        ending = await trial.refusal(
            server, **self.settings(listener, connect_timeout=10, **others)
        )
        ending.failed(TlsFailedError)
        assert ending.seconds < 5
        await self.check_nothing_secret(listener, server)
        return ending

    async def check_nothing_secret(self, listener: Listener, server: DatabaseServer) -> None:
        assert len(listener.sent) == 1, f"{len(listener.sent)} tries"
        sent = bytes(listener.sent[0])
        assert server.username.encode() not in sent
        assert server.password.encode() not in sent
        asked = ASKS_FOR_TLS[self.trial.engine]
        if len(sent) <= asked:
            return
        found = records(sent[asked:])
        assert found.get(HANDSHAKE)
        assert found.get(APPLICATION_DATA, 0) <= ALERT


@pytest.mark.promise("database.tls-or-nothing")
def test_refused(run_trial: RunTrial, engine: str, figure: Callable[[str], None]) -> None:
    figure(run_trial(refused))


async def refused(trial: Trial) -> str:
    async with AsyncExitStack() as stack:
        case = Case(trial, stack)
        given = case.authorities
        right, plain, expired, misnamed, unknown = await asyncio.gather(
            case.server(),
            case.plain_server(),
            case.server(given.expired),
            case.server(given.wrong_name),
            case.server(given.unknown),
        )
        wrong_ca = await case.refused(right, tls_ca_file=str(given.other_ca))
        assert "certificate" in str(wrong_ca.error).lower() or "issuer" in str(wrong_ca.error)
        assert "expired" in str((await case.refused(expired)).error)
        await case.refused(misnamed)
        await case.refused(right, tls_server_name="elsewhere.example")
        await case.refused(unknown)
        # The operating system's authorities do not know ours.
        await case.refused(right, tls_ca_file=None)
        told = await case.refused(plain)
        assert "TLS" in str(told.error)
        # Of a server that offers none nothing is asked but whether it does.
        listener = await case.listener(plain)
        await trial.refusal(plain, **case.settings(listener))
        assert len(listener.everything) <= ASKS_FOR_TLS[trial.engine]
        if trial.engine == "mysql":
            assert listener.everything == b""
        # So would it look if it were not TLS.
        listener = await case.listener(plain)
        async with trial.open(plain, endpoints=listener.endpoint):
            assert plain.username.encode() in listener.everything
            with pytest.raises(AssertionError, match="not TLS"):
                records(listener.everything[ASKS_FOR_TLS[trial.engine] :])
        # The name that is given counts, not the host's.
        listener = await case.listener(misnamed)
        named = case.settings(listener, tls_server_name="elsewhere.example")
        async with trial.open(misnamed, **named) as db:
            assert (await db.server_info()).version
    return f"{trial.driver}: 7 wrong servers, 0 bytes of credentials"


@pytest.mark.promise("database.tls-or-nothing")
def test_encrypted(run_trial: RunTrial, engine: str) -> None:
    run_trial(encrypted)


async def encrypted(trial: Trial) -> str:
    """What is sent is TLS from the first byte after it was asked for, and stays so."""
    async with AsyncExitStack() as stack:
        case = Case(trial, stack)
        right, plain = await asyncio.gather(case.server(), case.plain_server())
        listener = await case.listener(right)
        uuid = str(uuid4())
        async with trial.open(right, **case.settings(listener, operation_timeout=3)) as db:
            await db.object_create("network", uuid, {"fq_name": ["a-secret-name"]})
            await asyncio.gather(*(db.object_get("network", uuid) for _ in range(10)))
            used = 0
            for sent in listener.sent:
                found = records(bytes(sent[ASKS_FOR_TLS[trial.engine] :]))
                used += found.get(APPLICATION_DATA, 0) > ALERT
            assert used
            for word in (right.username, right.password, "a-secret-name"):
                assert word.encode() not in listener.everything
            # Somebody stands in the way later on who offers none.
            before = len(listener.sent)
            listener.upstream = plain
            listener.cut()
            for call in (db.object_get("network", uuid), db.kv_put("table", "key", {"a": 1})):
                (await trial.ending(call)).failed(TlsFailedError)
            assert len(listener.sent) <= before + 2
            for sent in listener.sent[before:]:
                assert len(sent) <= ASKS_FOR_TLS[trial.engine]
    return ""


@pytest.mark.promise("database.client-certificates")
def test_client_certificates(run_trial: RunTrial, engine: str) -> None:
    run_trial(client_certificates)


async def client_certificates(trial: Trial) -> str:
    async with AsyncExitStack() as stack:
        case = Case(trial, stack)
        given = case.authorities
        server = await case.server(client_certificates=True)
        async with trial.open(server) as db:
            await db.kv_put("table", "key", {"a": 1})
        without = await trial.refusal(server, tls_cert_file=None, tls_key_file=None)
        assert isinstance(without.error, AuthenticationFailedError | TlsFailedError)
        unknown = await trial.refusal(
            server,
            tls_cert_file=str(given.unknown_client.certificate),
            tls_key_file=str(given.unknown_client.key),
        )
        # In TLS 1.3 the server looks after its client is done, and may only hang up.
        assert isinstance(unknown.error, ConnectionFailedError)
        in_plain_text = await trial.refusal(server, **nothing_of_tls())
        assert isinstance(in_plain_text.error, AuthenticationFailedError)
        for ending in (without, unknown, in_plain_text):
            assert ending.seconds < 3
        # Files that cannot be used are a matter of the settings; nothing is contacted.
        missing = await trial.refusal(server, tls_ca_file="/nowhere/ca.pem")
        assert "/nowhere/ca.pem" in str(missing.failed(ConfigurationError))
    return ""


def nothing_of_tls() -> dict[str, Any]:
    return {"tls": "off", "tls_ca_file": None, "tls_cert_file": None, "tls_key_file": None}
