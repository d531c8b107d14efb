"""Clients come in hundreds, and the broker's exchanges stay as many as they are."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import pytest

from asyncbackends.errors import UnroutableError
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.message_broker import MessageBroker, OnGap, Subscription
from asyncbackends.protocols.messages import ExchangeKind, Message, Receipt, SubscribeOptions
from asyncbackends.protocols.values import Gap
from asyncbackends.rpc import RpcBroker, RpcClient
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.sample import as_condition
from asyncbackends.testing.rpc.fixtures import RpcFixtures
from asyncbackends.testing.rpc.sample import Service

__all__ = ("CountingBroker", "RpcTopologyConformance")

CLIENTS = 200


class CountingBroker:
    """A broker that notes which exchanges and queues are asked for."""

    def __init__(self, broker: MessageBroker) -> None:
        self._broker = broker
        self.exchanges: dict[str, ExchangeKind] = {}
        self.subscriptions: list[tuple[str | None, str | None, tuple[str, ...]]] = []
        self.on_gap: list[OnGap] = []

    async def create_exchange(
        self, exchange_name: str, *, durable: bool = True, kind: ExchangeKind = "fanout"
    ) -> None:
        self.exchanges[exchange_name] = kind
        await self._broker.create_exchange(exchange_name, durable=durable, kind=kind)

    async def delete_exchange(self, exchange_name: str) -> None:
        await self._broker.delete_exchange(exchange_name)

    def subscribe(
        self,
        exchange: str | None = None,
        queue: str | None = None,
        *,
        options: SubscribeOptions | None = None,
        routing_keys: Sequence[str] = (),
        on_gap: OnGap | None = None,
    ) -> AbstractAsyncContextManager[Subscription]:
        self.subscriptions.append((exchange, queue, tuple(routing_keys)))
        if on_gap is not None:
            self.on_gap.append(on_gap)
        return self._broker.subscribe(
            exchange, queue, options=options, routing_keys=routing_keys, on_gap=on_gap
        )

    async def publish(
        self,
        message: Message,
        *,
        exchange: str | None = None,
        headers: Mapping[str, str] | None = None,
        message_id: str | None = None,
        expiration: float | None = None,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        routing_key: str = "",
        mandatory: bool = False,
        timeout: float = 30.0,
    ) -> str:
        return await self._broker.publish(
            message,
            exchange=exchange,
            headers=headers,
            message_id=message_id,
            expiration=expiration,
            correlation_id=correlation_id,
            reply_to=reply_to,
            routing_key=routing_key,
            mandatory=mandatory,
            timeout=timeout,
        )

    def publish_nowait(
        self,
        message: Message,
        *,
        exchange: str | None = None,
        headers: Mapping[str, str] | None = None,
        message_id: str | None = None,
        expiration: float | None = None,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        routing_key: str = "",
        mandatory: bool = False,
    ) -> Receipt:
        return self._broker.publish_nowait(
            message,
            exchange=exchange,
            headers=headers,
            message_id=message_id,
            expiration=expiration,
            correlation_id=correlation_id,
            reply_to=reply_to,
            routing_key=routing_key,
            mandatory=mandatory,
        )

    async def flush(self, timeout: float = 30.0) -> None:
        await self._broker.flush(timeout)

    @property
    def pending(self) -> int:
        return self._broker.pending


class RpcTopologyConformance(RpcFixtures):
    """What a topic is made of."""

    async def test_clients_make_no_exchanges(
        self, broker: MessageBroker, other: MessageBroker, topic: str, harness: Harness
    ) -> None:
        counting = CountingBroker(other)
        async with Service(harness).server(broker, topic), AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(RpcClient(counting, topic)) for _ in range(CLIENTS)
            ]
            replies = await harness.gather(
                *(client.call("echo", {"value": n}) for n, client in enumerate(clients))
            )
            assert replies == [*range(CLIENTS)]
        assert counting.exchanges == {
            topic: "direct",
            f"{topic}.fanout": "fanout",
            f"{topic}.replies": "direct",
        }
        # One private queue each, with a key that nobody else has.
        assert {(where, queue) for where, queue, _ in counting.subscriptions} == {
            (f"{topic}.replies", None)
        }
        assert len({keys for _, _, keys in counting.subscriptions}) == CLIENTS

    async def test_client_takes_its_queue_away(
        self, client: RpcClient, other: MessageBroker, topic: str
    ) -> None:
        counting = CountingBroker(other)
        async with RpcClient(counting, topic) as leaving:
            await leaving.call("who")
        if Guarantee.MANDATORY_EXACT in other.guarantees:
            ((_, _, (key,)),) = counting.subscriptions
            replies = f"{topic}.replies"
            with pytest.raises(UnroutableError):
                await other.publish({}, exchange=replies, routing_key=key, mandatory=True)
        assert await client.call("who") == "one"

    async def test_calls_go_on_after_a_gap(
        self,
        client: RpcClient,
        other: MessageBroker,
        topic: str,
        service: Service,
        harness: Harness,
    ) -> None:
        counting = CountingBroker(other)
        service.is_open = False
        async with (
            RpcClient(counting, topic) as calling,
            harness.background(calling.call("work")) as call,
        ):
            assert await harness.eventually(as_condition(lambda: bool(service.begun)))
            (on_gap,) = counting.on_gap
            await on_gap(Gap("recreated"))
            service.is_open = True
            assert await call.result() == ["one", 0]
        assert await client.call("who") == "one"


_: type[RpcBroker] = CountingBroker
