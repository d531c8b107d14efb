"""Whatever is cancelled or ends leaves nothing behind."""

import pytest

from asyncbackends.errors import BackendClosedError, ConfigurationError
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.rpc import RpcClient
from asyncbackends.testing.harness import Cancelling, Harness
from asyncbackends.testing.message_broker.sample import as_condition
from asyncbackends.testing.rpc.fixtures import RpcFixtures
from asyncbackends.testing.rpc.sample import Service

__all__ = ("RpcLifecycleConformance",)

MOST_SUSPENSIONS = 200


class RpcLifecycleConformance(RpcFixtures):
    """Cancelling, entering and leaving."""

    @pytest.mark.parametrize("how", ["task", "late", "scope"])
    async def test_cancelled_call_leaves_nothing(
        self, client: RpcClient, harness: Harness, how: Cancelling
    ) -> None:
        await client.call("who")
        before = harness.running()
        for suspension in range(1, MOST_SUSPENSIONS):
            completed = await harness.cancel_at(client.call("who"), suspension, how)
            assert client.pending == 0
            if completed:
                assert suspension > 1
                break
        else:
            pytest.fail("the call did not end")
        assert await client.call("echo", {"value": 1}) == 1
        assert await harness.eventually(as_condition(lambda: harness.running() <= before))

    async def test_cancelled_client_leaves_nothing(
        self, client: RpcClient, other: MessageBroker, topic: str, harness: Harness
    ) -> None:
        before = harness.running()

        async def called() -> None:
            async with RpcClient(other, topic) as second:
                await second.call("who")

        for suspension in range(1, MOST_SUSPENSIONS):
            completed = await harness.cancel_at(called(), suspension)
            assert await harness.eventually(as_condition(lambda: harness.running() <= before))
            if completed:
                break
        else:
            pytest.fail("the client did not end")
        assert await client.call("who") == "one"

    async def test_cancelled_server_leaves_nothing(
        self, broker: MessageBroker, other: MessageBroker, topic: str, harness: Harness
    ) -> None:
        service = Service(harness)
        async with RpcClient(other, topic) as client:
            before = harness.running()

            async def served() -> None:
                async with service.server(broker, topic, server="s", grace=0.05):
                    await client.call("who")

            for suspension in range(1, MOST_SUSPENSIONS):
                completed = await harness.cancel_at(served(), suspension)
                assert await harness.eventually(as_condition(lambda: harness.running() <= before))
                if completed:
                    break
            else:
                pytest.fail("the server did not end")
            assert client.pending == 0
            async with service.server(broker, topic):
                assert await client.call("who") == "one"

    async def test_nothing_is_left_running(
        self, broker: MessageBroker, other: MessageBroker, topic: str, harness: Harness
    ) -> None:
        before = harness.running()
        service = Service(harness)
        async with service.server(broker, topic, server="s"), RpcClient(other, topic) as client:
            await harness.gather(*(client.call("work", {"seconds": 0.01}) for _ in range(50)))
            await client.fanout("work", {"seconds": 0.01})
        assert await harness.eventually(as_condition(lambda: harness.running() <= before))

    async def test_ends_of_the_blocks_in_different_tasks(
        self, broker: MessageBroker, other: MessageBroker, topic: str, harness: Harness
    ) -> None:
        server, client = Service(harness).server(broker, topic), RpcClient(other, topic)
        await harness.gather(server.__aenter__())
        await harness.gather(client.__aenter__())
        assert await harness.gather(client.call("who")) == ["one"]
        await harness.gather(client.__aexit__(None, None, None))
        await harness.gather(server.__aexit__(None, None, None))

    async def test_blocks_are_entered_once(
        self, broker: MessageBroker, topic: str, harness: Harness
    ) -> None:
        server, client = Service(harness).server(broker, topic), RpcClient(broker, topic)
        for way in (client.call, client.cast, client.fanout):
            with pytest.raises(BackendClosedError):
                await way("who")
        with pytest.raises(BackendClosedError):
            await server.serve_forever()
        async with server, client:
            with pytest.raises(ConfigurationError):
                await client.__aenter__()
            with pytest.raises(ConfigurationError):
                await server.__aenter__()
            assert await client.call("who") == "one"
        with pytest.raises(ConfigurationError):
            await client.__aenter__()

    async def test_serving_ends_with_the_block(
        self, broker: MessageBroker, topic: str, harness: Harness
    ) -> None:
        async with Service(harness).server(broker, topic) as server:
            serving = harness.background(server.serve_forever())
            waiting = await serving.__aenter__()
        async with harness.deadline(5):
            await waiting.result()
        await serving.__aexit__(None, None, None)
