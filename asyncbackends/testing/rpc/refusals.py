"""A call that fails says how, and nothing that is nobody's business."""

import pytest

from asyncbackends.errors import BackendError
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.rpc import (
    InvalidParamsError,
    MethodNotFoundError,
    RemoteError,
    RpcClient,
    RpcError,
)
from asyncbackends.testing.harness import Harness
from asyncbackends.testing.rpc.fixtures import RpcFixtures
from asyncbackends.testing.rpc.sample import SECRET, Service

__all__ = ("RpcRefusalsConformance",)


class RpcRefusalsConformance(RpcFixtures):
    """Errors of the other side."""

    async def test_error_of_the_handler(self, client: RpcClient) -> None:
        with pytest.raises(RemoteError) as caught:
            await client.call("fail")
        error = caught.value
        assert isinstance(error, RpcError)
        assert isinstance(error, BackendError)
        assert error.type_name == "ValueError"
        assert error.maybe_applied
        assert SECRET not in str(error)
        assert SECRET not in repr(error)
        assert "Traceback" not in str(error)
        assert await client.call("who") == "one"

    async def test_error_that_is_exposed(self, client: RpcClient) -> None:
        with pytest.raises(RemoteError) as caught:
            await client.call("show")
        assert (caught.value.type_name, caught.value.text) == ("ShownError", "disk 7 is full")

    async def test_error_that_the_handler_words(self, client: RpcClient) -> None:
        with pytest.raises(RemoteError, match="OutOfStock: no flavor is left") as caught:
            await client.call("refuse")
        assert (caught.value.type_name, caught.value.text) == ("OutOfStock", "no flavor is left")

    async def test_unknown_method(self, client: RpcClient) -> None:
        with pytest.raises(MethodNotFoundError, match="no method 'vanish'") as caught:
            await client.call("vanish")
        assert not caught.value.maybe_applied

    @pytest.mark.parametrize(
        "params",
        [{}, {"second": 1}, {"first": 1, "third": 2}, {"first": 1, "self": 2}],
        ids=lambda params: ",".join(params) or "none",
    )
    async def test_params_that_do_not_fit(self, client: RpcClient, params: dict[str, int]) -> None:
        with pytest.raises(InvalidParamsError, match="add") as caught:
            await client.call("add", params)
        assert not caught.value.maybe_applied

    async def test_context_is_not_to_be_given(self, client: RpcClient, service: Service) -> None:
        with pytest.raises(InvalidParamsError):
            await client.call("work", {"context": {"redelivered": True}})
        assert service.begun == []

    async def test_result_over_the_limit(self, client: RpcClient, broker: MessageBroker) -> None:
        limit = broker.limits.message_bytes
        assert limit is not None
        with pytest.raises(RemoteError) as caught:
            await client.call("long", {"count": limit})
        assert caught.value.type_name == "ReplyTooLargeError"
        assert str(limit) in caught.value.text
        assert caught.value.maybe_applied
        assert len(await client.call("long", {"count": limit - 100})) == limit - 100

    async def test_result_that_is_no_json(self, client: RpcClient) -> None:
        with pytest.raises(RemoteError) as caught:
            await client.call("unsendable")
        assert caught.value.type_name == "ReplyNotJsonError"
        assert SECRET not in str(caught.value)

    async def test_failure_is_not_tried_again(
        self, client: RpcClient, service: Service, harness: Harness
    ) -> None:
        await client.cast("fail")
        await client.cast("vanish")
        with pytest.raises(RemoteError):
            await client.call("fail")
        await harness.sleep(0.3)
        assert service.executed == ["fail", "fail"]
