"""Calls outlive the links that they were made on."""

import pytest

from asyncbackends.errors import BackendClosedError, OperationTimeoutError
from asyncbackends.protocols.backend import ConnectionState
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.rpc import RpcClient
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import BrokerFaultFixtures
from asyncbackends.testing.message_broker.link_faults import LinkFaults
from asyncbackends.testing.message_broker.sample import as_condition
from asyncbackends.testing.rpc.fixtures import RpcFixtures
from asyncbackends.testing.rpc.sample import Service

__all__ = ("RpcOutagesConformance",)


class RpcOutagesConformance(RpcFixtures, BrokerFaultFixtures):
    """``call`` while links break."""

    async def test_call_outlives_an_outage(
        self, client: RpcClient, service: Service, faults: LinkFaults, harness: Harness
    ) -> None:
        service.is_open = False
        async with harness.background(client.call("work", {"number": 1})) as calling:
            assert await harness.eventually(as_condition(lambda: bool(service.begun)))
            faults.drop_connection()
            await harness.sleep(0.1)
            faults.restore_connection()
            service.is_open = True
            assert await calling.result() == ["one", 1]
        assert client.pending == 0

    async def test_call_during_an_outage(
        self, client: RpcClient, faults: LinkFaults, harness: Harness
    ) -> None:
        faults.drop_connection()
        async with harness.background(client.call("who")) as calling:
            await harness.sleep(0.1)
            faults.restore_connection()
            assert await calling.result() == "one"

    async def test_call_that_was_never_sent(
        self,
        client: RpcClient,
        other: MessageBroker,
        service: Service,
        faults: LinkFaults,
        harness: Harness,
    ) -> None:
        faults.drop_connection()
        down = ConnectionState.DISCONNECTED
        assert await harness.eventually(as_condition(lambda: other.state is down))
        with pytest.raises(OperationTimeoutError) as caught:
            await client.call("who", timeout=0.2)
        assert not caught.value.maybe_applied
        faults.restore_connection()
        assert await client.call("echo", {"value": 1}) == 1
        assert service.executed == [1]

    async def test_request_that_comes_again_while_it_runs(
        self, client: RpcClient, service: Service, faults: LinkFaults, harness: Harness
    ) -> None:
        service.is_open = False
        calls = harness.gather(*(client.call("work", {"number": n}) for n in range(5)))
        async with harness.background(calls) as calling:
            assert await harness.eventually(as_condition(lambda: len(service.begun) == 5))
            faults.drop_consuming()
            await harness.sleep(0.2)
            service.is_open = True
            assert await calling.result() == [["one", number] for number in range(5)]
        await harness.sleep(0.2)
        assert sorted(service.executed) == [*range(5)]

    async def test_request_whose_ack_was_lost(
        self, client: RpcClient, service: Service, faults: LinkFaults, harness: Harness
    ) -> None:
        await client.call("who")
        service.is_open = False
        async with harness.background(client.call("work", timeout=1.0)) as calling:
            assert await harness.eventually(as_condition(lambda: bool(service.begun)))
            faults.drop_connection()
            service.is_open = True
            assert await harness.eventually(as_condition(lambda: bool(service.executed[1:])))
            await harness.sleep(0.1)
            faults.restore_connection()
            assert await calling.result() == ["one", 0]
        await harness.sleep(0.2)
        assert service.executed == ["who", 0]

    async def test_confirm_of_a_request_is_not_waited_for(
        self, client: RpcClient, faults: LinkFaults, harness: Harness
    ) -> None:
        await client.call("who")
        faults.lose_confirms(1)
        async with harness.deadline(5):
            assert await client.call("echo", {"value": 1}, timeout=20.0) == 1

    async def test_reply_whose_confirm_is_lost(
        self, client: RpcClient, service: Service, faults: LinkFaults, harness: Harness
    ) -> None:
        await client.call("who")
        faults.hold_confirms()
        assert await client.call("echo", {"value": 1}) == 1
        faults.release_confirms()
        assert await client.call("echo", {"value": 2}) == 2
        await harness.sleep(0.1)
        assert service.executed == ["who", 1, 2]

    async def test_replies_exchange_that_was_deleted(
        self,
        client: RpcClient,
        other: MessageBroker,
        topic: str,
        service: Service,
        faults: LinkFaults,
        harness: Harness,
    ) -> None:
        service.is_open = False
        async with harness.background(client.call("work", timeout=20.0)) as calling:
            assert await harness.eventually(as_condition(lambda: bool(service.begun)))
            faults.delete_exchange(f"{topic}.replies")
            with pytest.raises(BackendClosedError, match="replies") as caught:
                await calling.result()
            assert caught.value.maybe_applied
        service.is_open = True
        # A new client makes it again.
        async with RpcClient(other, topic) as second:
            assert await second.call("who") == "one"
