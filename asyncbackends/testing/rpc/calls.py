"""A call reaches one server, and its reply the caller."""

from typing import Any

import pytest

from asyncbackends.errors import (
    BackendClosedError,
    InvalidRequestError,
    MessageTooLargeError,
    OperationTimeoutError,
    UnroutableError,
)
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.rpc import RpcClient
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.message_broker.sample import take
from asyncbackends.testing.rpc.fixtures import RpcFixtures
from asyncbackends.testing.rpc.sample import Service

__all__ = ("RpcCallsConformance",)

VALUES = [
    None,
    False,
    0,
    -(2**62),
    1.5,
    "",
    "žluťoučký \U0001f408\n",
    [],
    [1, [2, {"three": None}]],
    {"": {"a": [True]}},
]


class RpcCallsConformance(RpcFixtures):
    """``call``."""

    async def test_call_gives_the_result(self, client: RpcClient, service: Service) -> None:
        assert await client.call("who") == "one"
        assert await client.call("add", {"first": 1, "second": 2}) == 3
        assert await client.call("add", {"first": 1}) == 11
        assert client.pending == 0
        assert service.executed == ["who"]

    @pytest.mark.parametrize("value", VALUES, ids=repr)
    async def test_values_come_back_equal(self, client: RpcClient, value: Any) -> None:
        found = await client.call("echo", {"value": value})
        assert found == value
        assert type(found) is type(value)

    async def test_calls_side_by_side_get_their_own_replies(
        self, client: RpcClient, harness: Harness
    ) -> None:
        async def work(number: int) -> Any:
            return await client.call("work", {"number": number, "seconds": (7 - number % 7) / 500})

        assert await harness.gather(*map(work, range(100))) == [["one", n] for n in range(100)]
        assert client.pending == 0

    async def test_client_and_server_on_one_broker_object(
        self, broker: MessageBroker, topic: str, service: Service
    ) -> None:
        async with RpcClient(broker, topic) as client, service.server(broker, topic):
            assert await client.call("who") == "one"

    async def test_clients_get_no_reply_of_others(
        self, client: RpcClient, other: MessageBroker, topic: str, harness: Harness
    ) -> None:
        async with RpcClient(other, topic) as second:
            calls = [
                (first_or_second, number)
                for number in range(40)
                for first_or_second in (client, second)
            ]
            found = await harness.gather(
                *(caller.call("echo", {"value": number}) for caller, number in calls)
            )
            assert found == [number for _, number in calls]

    # No reply.

    async def test_call_times_out(
        self, client: RpcClient, service: Service, harness: Harness
    ) -> None:
        service.is_open = False
        with pytest.raises(OperationTimeoutError) as caught:
            await client.call("work", {"number": 1}, timeout=0.2)
        assert caught.value.maybe_applied
        assert "work" in str(caught.value)
        assert client.pending == 0
        # The late reply is nobody's.
        service.is_open = True
        assert await client.call("work", {"number": 2}) == ["one", 2]
        assert await client.call("echo", {"value": 3}) == 3

    async def test_expired_call_is_not_executed(
        self, broker: MessageBroker, other: MessageBroker, topic: str, harness: Harness
    ) -> None:
        away, back = Service(harness), Service(harness)
        async with away.server(broker, topic), RpcClient(other, topic) as client:
            assert await client.call("who") == "one"
        async with RpcClient(other, topic) as client:
            with pytest.raises(OperationTimeoutError):
                await client.call("echo", {"value": "late"}, timeout=0.1)
            # A consumer's clock may be behind by a second, so only from then on it is dropped.
            await harness.sleep(1.2)
            async with back.server(broker, topic):
                assert await client.call("echo", {"value": "in time"}) == "in time"
        assert back.executed == ["in time"]

    async def test_nobody_ever_served(self, other: MessageBroker, topic: str) -> None:
        expected: tuple[type[Exception], ...] = (UnroutableError,)
        if Guarantee.MANDATORY_EXACT not in other.guarantees:
            expected = (UnroutableError, OperationTimeoutError)
        async with RpcClient(other, topic) as client:
            with pytest.raises(expected):
                await client.call("who", timeout=0.3)
            with pytest.raises(expected):
                await client.call("who", server="s1", timeout=0.3)
            assert client.pending == 0

    async def test_end_of_the_block_ends_its_calls(
        self,
        client: RpcClient,
        other: MessageBroker,
        topic: str,
        service: Service,
        harness: Harness,
    ) -> None:
        service.is_open = False
        async with RpcClient(other, topic) as ending:
            call = harness.background(ending.call("work"))
            waiting = await call.__aenter__()
            assert await harness.eventually(lambda: _is(bool(service.begun)))
        with pytest.raises(BackendClosedError) as caught:
            await waiting.result()
        assert caught.value.maybe_applied
        assert ending.pending == 0
        await call.__aexit__(None, None, None)
        with pytest.raises(BackendClosedError):
            await ending.call("who")
        service.is_open = True
        assert await client.call("who") == "one"

    # Arguments.

    @pytest.mark.parametrize("method", ["", "m" * 256, "nul\0", 7])
    async def test_method_is_a_name(self, client: RpcClient, method: Any) -> None:
        for way in (client.call, client.cast, client.fanout):
            with pytest.raises(InvalidRequestError):
                await way(method)
        assert client.pending == 0

    @pytest.mark.parametrize("params", [[1], "text", {"value": {1}}, {1: 2}, {"value": b""}])
    async def test_params_are_json_by_name(self, client: RpcClient, params: Any) -> None:
        for way in (client.call, client.cast, client.fanout):
            with pytest.raises(InvalidRequestError):
                await way("echo", params)
        assert client.pending == 0
        assert await client.call("echo", {"value": 1}) == 1

    @pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), True, "1"])
    async def test_timeout_is_finite(self, client: RpcClient, timeout: Any) -> None:
        with pytest.raises(InvalidRequestError):
            await client.call("echo", timeout=timeout)
        assert client.pending == 0

    @pytest.mark.parametrize("server", ["", "a b", "a@b", "n" * 81])
    async def test_server_is_a_name(self, client: RpcClient, server: str) -> None:
        with pytest.raises(InvalidRequestError):
            await client.call("who", server=server)
        with pytest.raises(InvalidRequestError):
            await client.cast("who", server=server)

    @pytest.mark.parametrize("topic", ["", "a b", "a@b", "t" * 81, "a.fanout", "a.replies"])
    async def test_topic_is_a_name(
        self, other: MessageBroker, topic: str, harness: Harness
    ) -> None:
        with pytest.raises(InvalidRequestError):
            RpcClient(other, topic)
        with pytest.raises(InvalidRequestError):
            Service(harness).server(other, topic)

    async def test_request_over_the_limit(self, client: RpcClient, other: MessageBroker) -> None:
        limit = other.limits.message_bytes
        assert limit is not None
        with pytest.raises(MessageTooLargeError):
            await client.call("echo", {"value": "x" * limit})
        assert client.pending == 0

    # What the messages look like.

    async def test_foreign_server(
        self, broker: MessageBroker, other: MessageBroker, topic: str, harness: Harness
    ) -> None:
        async with (
            RpcClient(other, topic) as client,
            broker.subscribe(topic, f"{topic}@servers", routing_keys=["@servers"]) as requests,
            harness.background(client.call("m", {"a": 1})) as calling,
        ):
            (request,) = await take(requests, 1, harness)
            assert request.json() == {"method": "m", "params": {"a": 1}}
            assert request.expires_at is not None

            async def reply(message: dict[str, Any] | bytes) -> None:
                await broker.publish(
                    message,
                    exchange=f"{topic}.replies",
                    routing_key=request.reply_to or "",
                    correlation_id=request.correlation_id,
                )

            await reply(b"no JSON")
            await reply({"error": "no failure"})
            await reply({"result": "first", "later": "versions"})
            await reply({"result": "second"})
            assert await calling.result() == "first"
            assert client.pending == 0

    async def test_foreign_client(
        self,
        client: RpcClient,
        broker: MessageBroker,
        topic: str,
        service: Service,
        harness: Harness,
    ) -> None:
        replies = broker.subscribe(f"{topic}.replies", routing_keys=["me"])
        async with replies as feed:
            for body in (b"no JSON", b"[]", b'{"method": 1}', b'{"method": "who", "params": []}'):
                # The first has nobody to answer to, and the second nobody who listens.
                for reply_to in (None, "nobody", "me", "no routing key"):
                    for correlation_id in (None, "c"):
                        await broker.publish(
                            body,
                            exchange=topic,
                            routing_key="@servers",
                            reply_to=reply_to and reply_to.replace(" ", "!"),
                            correlation_id=correlation_id,
                        )
            failures = await take(feed, 8, harness)
            assert {failure["error"]["type"] for failure in failures} == {"InvalidRequestError"}
            await broker.publish(
                b'{"method": "who"}', exchange=topic, routing_key="@servers", reply_to="me"
            )
            (reply,) = await take(feed, 1, harness)
            assert reply.json() == {"result": "one"}
        assert await client.call("who") == "one"


async def _is(condition: bool) -> bool:
    return condition
