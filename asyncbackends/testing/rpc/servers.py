"""Which servers execute a request."""

from collections import Counter
from typing import Any

import pytest

from asyncbackends.errors import BackendClosedError, InvalidRequestError
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.rpc import RpcClient, RpcServer
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.fixtures import OpenBroker
from asyncbackends.testing.message_broker.sample import as_condition
from asyncbackends.testing.rpc.fixtures import RpcFixtures
from asyncbackends.testing.rpc.sample import Service

__all__ = ("RpcServersConformance",)


class RpcServersConformance(RpcFixtures):
    """``cast``, ``fanout``, and servers that come and go."""

    async def test_cast_is_executed_once(
        self, client: RpcClient, service: Service, harness: Harness
    ) -> None:
        ids = [await client.cast("echo", {"value": number}) for number in range(5)]
        assert len({*ids}) == 5
        assert await harness.eventually(as_condition(lambda: len(service.executed) == 5))
        await harness.sleep(0.1)
        assert sorted(service.executed) == [*range(5)]

    async def test_cast_waits_for_a_server(
        self, broker: MessageBroker, other: MessageBroker, topic: str, harness: Harness
    ) -> None:
        first, second = Service(harness), Service(harness)
        async with RpcClient(other, topic) as client:
            async with first.server(broker, topic):
                await client.call("who")
            await client.cast("echo", {"value": "kept"})
            await client.cast("echo", {"value": "expired"}, expiration=0.1)
            await harness.sleep(1.2)
            async with second.server(broker, topic):
                assert await harness.eventually(as_condition(lambda: bool(second.executed)))
                await harness.sleep(0.1)
        assert second.executed == ["kept"]

    async def test_servers_share(
        self, broker: MessageBroker, other: MessageBroker, topic: str, harness: Harness
    ) -> None:
        services = [Service(harness, name) for name in ("a", "b", "c")]
        first, second, third = (service.server(broker, topic) for service in services)
        async with first, second, third, RpcClient(other, topic) as client:
            calls = (client.call("work", {"number": n, "seconds": 0.02}) for n in range(60))
            replies = await harness.gather(*calls)
            for number in range(60):
                await client.cast("echo", {"value": 100 + number})
            assert await harness.eventually(
                as_condition(lambda: sum(len(service.executed) for service in services) == 120)
            )
        assert [number for _, number in replies] == [*range(60)]
        assert {*Counter(name for name, _ in replies)} == {"a", "b", "c"}
        executed = sorted(value for service in services for value in service.executed)
        assert executed == [*range(60), *range(100, 160)]

    async def test_fanout_reaches_every_server(
        self, broker: MessageBroker, other: MessageBroker, topic: str, harness: Harness
    ) -> None:
        services = [Service(harness) for _ in range(3)]
        async with RpcClient(other, topic) as client:
            # Nobody is there yet, and nobody will ever hear it.
            await client.fanout("echo", {"value": "unheard"})
            one, two = (service.server(broker, topic) for service in services[:2])
            async with one, two:
                await client.fanout("echo", {"value": "to two"})
                heard = as_condition(lambda: all(service.executed for service in services[:2]))
                assert await harness.eventually(heard)
                async with services[2].server(broker, topic, server="named"):
                    await client.fanout("echo", {"value": "to three"})
                    heard = as_condition(lambda: "to three" in services[2].executed)
                    assert await harness.eventually(heard)
                    await harness.sleep(0.1)
        assert [service.executed for service in services] == [
            ["to two", "to three"],
            ["to two", "to three"],
            ["to three"],
        ]

    async def test_named_server(
        self, broker: MessageBroker, other: MessageBroker, topic: str, harness: Harness
    ) -> None:
        named, shared = Service(harness, "named"), Service(harness, "shared")
        server = named.server(broker, topic, server="host-1/7")
        async with RpcClient(other, topic) as client, shared.server(broker, topic):
            async with server:
                for _ in range(10):
                    assert await client.call("who", server="host-1/7") == "named"
                await harness.gather(*(client.call("who") for _ in range(20)))
                # It has its share of what goes to all, too.
                assert len(named.executed) > 10
                assert len(named.executed) + len(shared.executed) == 30
            # What it is sent waits for it.
            await client.cast("echo", {"value": "kept"}, server="host-1/7")
            back = Service(harness)
            async with back.server(broker, topic, server="host-1/7"):
                kept = as_condition(lambda: back.executed == ["kept"])
                assert await harness.eventually(kept)
        assert "kept" not in shared.executed

    async def test_topics_are_apart(
        self, client: RpcClient, broker: MessageBroker, topic: str, harness: Harness
    ) -> None:
        away = Service(harness, "away")
        elsewhere = f"{topic}-2"
        async with away.server(broker, elsewhere), RpcClient(broker, elsewhere) as second:
            assert await client.call("who") == "one"
            assert await second.call("who") == "away"
        for exchange in (elsewhere, f"{elsewhere}.fanout", f"{elsewhere}.replies"):
            await broker.delete_exchange(exchange)

    async def test_concurrency_is_a_limit(
        self, broker: MessageBroker, other: MessageBroker, topic: str, harness: Harness
    ) -> None:
        service = Service(harness)
        server = service.server(broker, topic, server="s", concurrency=3)
        async with server, RpcClient(other, topic) as client:
            calls = [
                client.call("work", {"seconds": 0.01}, server=name)
                for name in (None, "s")
                for _ in range(15)
            ]
            await harness.gather(*calls, *(_fanned_out(client) for _ in range(5)))
            done = as_condition(lambda: len(service.executed) == 35)
            assert await harness.eventually(done)
            assert await harness.eventually(as_condition(lambda: server.running == 0))
        assert service.most_busy == 3

    async def test_handler_is_told_of_its_request(
        self, client: RpcClient, service: Service, harness: Harness
    ) -> None:
        await client.call("work", {"number": 1}, timeout=60.0)
        message_id = await client.cast("work", {"number": 2})
        assert await harness.eventually(as_condition(lambda: len(service.contexts) == 2))
        call, cast = service.contexts
        assert (call.method, call.redelivered, call.delivery_count) == ("work", False, 1)
        assert call.wants_reply
        assert call.expires_at is not None
        assert abs((call.expires_at - harness.now()).total_seconds() - 60) < 30
        assert cast.message_id == message_id
        assert not cast.wants_reply
        assert cast.expires_at is None

    # Servers that end.

    async def test_what_runs_is_finished(
        self, broker: MessageBroker, other: MessageBroker, topic: str, harness: Harness
    ) -> None:
        service = Service(harness)
        async with RpcClient(other, topic) as client:
            async with service.server(broker, topic):
                call = harness.background(client.call("work", {"seconds": 0.2}))
                calling = await call.__aenter__()
                assert await harness.eventually(as_condition(lambda: bool(service.begun)))
            assert service.executed == [0]
            assert await calling.result() == ["one", 0]
            await call.__aexit__(None, None, None)

    async def test_what_does_not_end_goes_to_another_server(
        self, broker: MessageBroker, other: MessageBroker, topic: str, harness: Harness
    ) -> None:
        old, new = Service(harness, "old"), Service(harness, "new")
        old.is_open = False
        async with RpcClient(other, topic) as client:
            ending = old.server(broker, topic, concurrency=1, grace=0.05)
            async with ending:
                call = harness.background(
                    harness.gather(*(client.call("work", {"number": n}) for n in range(3)))
                )
                calling = await call.__aenter__()
                assert await harness.eventually(as_condition(lambda: bool(old.begun)))
            assert (old.busy, old.executed, ending.running) == (0, [], 0)
            async with new.server(broker, topic):
                assert await calling.result() == [["new", number] for number in range(3)]
            await call.__aexit__(None, None, None)
        begun = {context.message_id for context in old.contexts}
        assert {c.message_id for c in new.contexts if c.redelivered} >= begun

    async def test_server_whose_broker_is_closed(
        self, open_broker: OpenBroker, broker: MessageBroker, topic: str, harness: Harness
    ) -> None:
        async with open_broker() as closing:
            server = Service(harness).server(closing, topic)
            await server.__aenter__()
            async with harness.background(server.serve_forever()) as serving:
                await closing.shutdown()
                with pytest.raises(BackendClosedError, match=f"rpc server of {topic}"):
                    await serving.result()
            with pytest.raises(BackendClosedError, match=f"rpc server of {topic}"):
                await server.__aexit__(None, None, None)

    async def test_client_whose_broker_is_closed(
        self,
        client: RpcClient,
        open_broker: OpenBroker,
        topic: str,
        service: Service,
        harness: Harness,
    ) -> None:
        service.is_open = False
        async with open_broker() as closing, RpcClient(closing, topic) as failing:
            async with harness.background(failing.call("work")) as calling:
                assert await harness.eventually(as_condition(lambda: bool(service.begun)))
                await closing.shutdown()
                with pytest.raises(BackendClosedError) as caught:
                    await calling.result()
                assert caught.value.maybe_applied
            with pytest.raises(BackendClosedError):
                await failing.call("who")
        service.is_open = True

    # Arguments.

    @pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"grace": -1.0}, {"server": "a b"}])
    async def test_options_of_a_server(
        self, broker: MessageBroker, topic: str, harness: Harness, wrong: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidRequestError):
            Service(harness).server(broker, topic, **wrong)

    async def test_handlers_are_async_functions_by_name(
        self, broker: MessageBroker, topic: str
    ) -> None:
        def plain() -> None: ...

        async def two(first: int, second: int, /) -> None: ...

        for handler in (plain, two, "text"):
            with pytest.raises(InvalidRequestError, match="'method'"):
                RpcServer(broker, topic, {"method": handler})  # type: ignore[dict-item]  # wrong


async def _fanned_out(client: RpcClient) -> None:
    await client.fanout("work", {"seconds": 0.01})
