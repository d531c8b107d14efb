"""The side that calls."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from itertools import count
from secrets import token_hex
from types import TracebackType
from typing import Self

import anyio

from asyncbackends.broker.delivery import Delivery
from asyncbackends.clock import checked_timeout
from asyncbackends.errors import (
    BackendClosedError,
    BackendError,
    ConfigurationError,
    InvalidRequestError,
    OperationTimeoutError,
    PublishUnconfirmedError,
    StaleDeliveryError,
)
from asyncbackends.owner import Owner
from asyncbackends.protocols.message_broker import Subscription
from asyncbackends.protocols.values import Gap, Json
from asyncbackends.rpc.failures import raised_at_caller
from asyncbackends.rpc.forms import Reply, read_reply, request_message
from asyncbackends.rpc.topic import RpcBroker, Topic

__all__ = ("RpcClient",)

logger = logging.getLogger("asyncbackends.rpc")


class _Call:
    """A call that waits for its reply, or for what keeps it from coming."""

    __slots__ = ("ended", "sending")

    def __init__(self) -> None:
        self.ended: asyncio.Future[Reply | BackendError] = (
            asyncio.get_running_loop().create_future()
        )
        self.sending: anyio.CancelScope | None = None

    def end(self, outcome: Reply | BackendError) -> None:
        if not self.ended.done():
            self.ended.set_result(outcome)
            if self.sending is not None:
                # The confirm of the request was lost, and now nobody needs it.
                self.sending.cancel()


class RpcClient:
    """Calls the servers of a topic::

        async with RpcClient(broker, "compute") as compute:
            server = await compute.call("boot", {"image": "cirros"}, timeout=60.0)

    One object serves any number of tasks at once, over one private queue for all replies. When
    the link to the broker is lost, calls go on over the next one; a reply that is lost all the
    same ends its call at the deadline, and nothing but the deadline does. A reply that comes
    late or twice is dropped.

    The two ends of the block may be in different tasks. At its end, calls that still wait end
    with BackendClosedError, ``maybe_applied``.

    :param topic: 1 to 80 letters, digits and characters of ``_ . : / -``.
    """

    def __init__(self, broker: RpcBroker, topic: str) -> None:
        self._broker = broker
        self._topic = Topic(topic)
        self._id = token_hex(12)
        self._numbers = count(1)
        self._calls: dict[str, _Call] = {}
        self._owner = Owner(f"rpc client of {topic}")
        self._stack = AsyncExitStack()

    @property
    def pending(self) -> int:
        """The number of calls that wait for a reply."""
        return len(self._calls)

    # The three ways to reach a server.

    async def call(
        self,
        method: str,
        params: Mapping[str, Json] | None = None,
        *,
        server: str | None = None,
        timeout: float = 30.0,
    ) -> Json:
        """Have a server execute a method, and give its result.

        At least once: when a server dies, or the link to it, another may execute the request
        again; then its context says ``redelivered``. After ``timeout`` no server begins with it.

        :param params: by name; values are JSON.
        :param server: None is any of those that share the topic, else the one with that name.
        :param timeout: seconds for all of it, finite and > 0.
        :raises RemoteError: the handler failed; or MethodNotFoundError or InvalidParamsError.
        :raises OperationTimeoutError: no reply came; ``maybe_applied`` unless it was never sent.
        :raises UnroutableError: nobody ever served that topic or name; nothing was sent.
        :raises OutboxFullError: the broker's outbox was full until ``timeout``; nothing was sent.
        :raises MessageTooLargeError: the request is over the broker's limit.
        :raises InvalidRequestError: an argument breaks a rule.
        """
        self._owner.check()
        key = self._topic.key_of(server)
        request = request_message(method, params)
        end = asyncio.get_running_loop().time() + checked_timeout(timeout)
        call_id = f"{self._id}-{next(self._numbers)}"
        call = self._calls[call_id] = _Call()
        try:
            try:
                with anyio.CancelScope() as call.sending:
                    await self._broker.publish(
                        request,
                        exchange=self._topic.calls,
                        routing_key=key,
                        message_id=call_id,
                        correlation_id=call_id,
                        reply_to=self._id,
                        expiration=timeout,
                        mandatory=True,
                        timeout=timeout,
                    )
            except PublishUnconfirmedError as error:
                if not call.ended.done():
                    raise self._too_late(method, timeout) from error
            except BackendError:
                if not call.ended.done():
                    raise
            call.sending = None
            try:
                async with asyncio.timeout_at(end):
                    outcome = await call.ended
            except TimeoutError as error:
                raise self._too_late(method, timeout) from error
        finally:
            del self._calls[call_id]
        if isinstance(outcome, BackendError):
            raise outcome
        if outcome.error is not None:
            raise raised_at_caller(outcome.error)
        return outcome.result

    async def cast(
        self,
        method: str,
        params: Mapping[str, Json] | None = None,
        *,
        server: str | None = None,
        expiration: float | None = None,
        timeout: float = 30.0,
    ) -> str:
        """Have a server execute a method, and do not wait for it: give the id of the request.

        It returns when the broker has the request, which then waits for a server as long as it
        takes. What becomes of it nobody tells.

        :param expiration: seconds after which no server begins with it; None is no limit.
        :param timeout: seconds for the broker's confirm.
        :raises UnroutableError: nobody ever served that topic or name; nothing was sent.
        :raises PublishError: and the other errors of ``publish``.
        """
        self._owner.check()
        return await self._broker.publish(
            request_message(method, params),
            exchange=self._topic.calls,
            routing_key=self._topic.key_of(server),
            expiration=expiration,
            mandatory=True,
            timeout=timeout,
        )

    async def fanout(
        self,
        method: str,
        params: Mapping[str, Json] | None = None,
        *,
        expiration: float | None = None,
        timeout: float = 30.0,
    ) -> str:
        """Have every server that is there execute a method: give the id of the request.

        A server that begins later never sees it.

        :param expiration: seconds after which no server begins with it; None is no limit.
        :param timeout: seconds for the broker's confirm.
        :raises PublishError: and the other errors of ``publish``.
        """
        self._owner.check()
        return await self._broker.publish(
            request_message(method, params),
            exchange=self._topic.fanout,
            expiration=expiration,
            timeout=timeout,
        )

    def _too_late(self, method: str, timeout: float) -> OperationTimeoutError:
        message = (
            f"no reply to {method!r} came from {self._topic.name} within {timeout:g} s; it may "
            f"have been executed"
        )
        return OperationTimeoutError(message, maybe_applied=True)

    # The two ends, and the replies between them.

    async def __aenter__(self) -> Self:
        """Make what is missing of the topic, and listen for replies.

        :raises NotSupportedError: the broker lacks DIRECT_ROUTING, feature ``routing``.
        """
        if self._owner.started:
            message = "an RpcClient is entered once; make another one"
            raise ConfigurationError(message)
        await self._owner.start(self._open, self._close)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the calls that still wait, and delete the private queue."""
        await self._owner.stop(0.0)

    async def _open(self) -> None:
        await self._topic.declare(self._broker)
        replies = self._broker.subscribe(
            self._topic.replies, routing_keys=[self._id], on_gap=self._gap
        )
        subscription = await self._stack.enter_async_context(replies)
        assert self._owner.group is not None  # noqa: S101  # this runs inside it
        self._owner.group.start_soon(self._listen, subscription)

    async def _close(self, grace: float) -> None:
        cause = self._owner.failure
        for call in self._calls.values():
            because = "was closed" if cause is None else f"failed: {cause}"
            message = f"the rpc client of {self._topic.name} {because}, before the reply came"
            error = BackendClosedError(message, maybe_applied=True)
            error.__cause__ = cause
            call.end(error)
        await self._stack.aclose()

    async def _gap(self, gap: Gap) -> None:
        # Which replies are lost nobody knows, and the others still come: the deadlines decide.
        logger.warning(
            "replies of %s may have been lost (%s); %d calls go on until their deadlines",
            self._topic.name,
            gap.reason,
            len(self._calls),
        )

    async def _listen(self, replies: Subscription) -> None:
        async for delivery in replies:
            self._take(delivery)
            try:
                await delivery.ack()
            except StaleDeliveryError:
                logger.debug("reply %s will come again, and be dropped", delivery.message_id)

    def _take(self, delivery: Delivery) -> None:
        call = self._calls.get(delivery.correlation_id or "")
        if call is None:
            logger.debug("reply %s comes late or twice, and is dropped", delivery.message_id)
            return
        try:
            call.end(read_reply(delivery.body))
        except InvalidRequestError as error:
            logger.warning("message %s on %s: %s", delivery.message_id, self._topic.replies, error)
