"""Brokers that lack something, and handlers that end in odd ways."""

import asyncio
from uuid import uuid4

import pytest

from asyncbackends import open_message_broker
from asyncbackends.errors import DeclarationConflictError, NotSupportedError
from asyncbackends.protocols.messages import ExchangeKind
from asyncbackends.rpc import RemoteError, RpcClient, RpcServer
from asyncbackends.testing.rpc.topology import CountingBroker


class WithoutRouting(CountingBroker):
    async def create_exchange(
        self, exchange_name: str, *, durable: bool = True, kind: ExchangeKind = "fanout"
    ) -> None:
        if kind == "direct":
            raise NotSupportedError("no exchanges of kind direct", feature="routing")
        await super().create_exchange(exchange_name, durable=durable, kind=kind)


async def test_broker_without_routing() -> None:
    async with open_message_broker(engine="memory", endpoints=f"rpc-{uuid4()}") as broker:
        lacking = WithoutRouting(broker)
        for block in (RpcClient(lacking, "t"), RpcServer(lacking, "t", {})):
            with pytest.raises(NotSupportedError) as caught:
                await block.__aenter__()
            assert caught.value.feature == "routing"


async def test_name_that_is_another_kind_of_exchange() -> None:
    async with open_message_broker(engine="memory", endpoints=f"rpc-{uuid4()}") as broker:
        await broker.create_exchange("events")
        with pytest.raises(DeclarationConflictError, match="events"):
            await RpcClient(broker, "events").__aenter__()


async def test_cancellation_that_nobody_asked_for_is_a_failure() -> None:
    async def cancelled() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async with open_message_broker(engine="memory", endpoints=f"rpc-{uuid4()}") as broker:
        server = RpcServer(broker, "t", {"cancelled": cancelled}, concurrency=1)
        async with server, RpcClient(broker, "t") as client:
            for _ in range(3):
                with pytest.raises(RemoteError) as caught:
                    await client.call("cancelled")
                assert caught.value.type_name == "CancelledError"
            assert server.running == 0
