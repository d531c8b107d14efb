"""The side that executes."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from asyncbackends.broker.delivery import Delivery
from asyncbackends.errors import ConfigurationError, InvalidRequestError
from asyncbackends.owner import Owner
from asyncbackends.protocols.message_broker import Subscription
from asyncbackends.protocols.messages import SubscribeOptions
from asyncbackends.protocols.values import Gap
from asyncbackends.rpc.executing import Executor
from asyncbackends.rpc.handlers import Handler, Handlers
from asyncbackends.rpc.topic import RpcBroker, Topic

__all__ = ("RpcServer",)

logger = logging.getLogger("asyncbackends.rpc")


class RpcServer:
    """Executes what is called on a topic, inside the block::

        async def boot(image: str, size: int = 1) -> dict[str, str]: ...

        async with RpcServer(broker, "compute", {"boot": boot}) as server:
            await server.serve_forever()

    Servers of one topic share its calls and casts. A request is acked when its reply is stored,
    so one that a server did not finish goes to another, ``redelivered``: execution is at least
    once. A handler with one positional-only parameter is given an RpcContext there::

        async def boot(context: RpcContext, /, image: str) -> dict[str, str]: ...

    A handler that raises has executed the request: it is not tried again. The caller of a
    ``call`` gets RemoteError with the name of the error's type; of its text only what a
    HandlerError says, or an error of ``expose_errors``. The server's log has all of it.

    At the end of the block no more requests are taken, those that run have ``grace`` seconds to
    finish, and what is left is cancelled and goes back to the broker. The two ends of the block
    may be in different tasks.

    :param topic: 1 to 80 letters, digits and characters of ``_ . : / -``.
    :param handlers: async functions by method; they take the parameters by name.
    :param server: a name under which ``call(server=)`` reaches this server, beside its share of
        what goes to all. Its requests wait for it in a queue that stays when it ends.
    :param concurrency: so many requests are executed at once, and so many more are fetched at
        most for each of its queues.
    :param expose_errors: errors whose text the caller may read.
    :param grace: seconds for what runs at the end of the block.
    :raises InvalidRequestError: a name breaks a rule, or a handler is no async function.
    """

    def __init__(
        self,
        broker: RpcBroker,
        topic: str,
        handlers: Mapping[str, Handler],
        *,
        server: str | None = None,
        concurrency: int = 16,
        expose_errors: tuple[type[Exception], ...] = (),
        grace: float = 5.0,
    ) -> None:
        if concurrency < 1 or grace < 0:
            message = f"concurrency is 1 or more, grace 0 or more: {concurrency!r}, {grace!r}"
            raise InvalidRequestError(message)
        self._broker = broker
        self._topic = Topic(topic)
        self._name = None if server is None else self._topic.key_of(server)
        self._executor = Executor(broker, self._topic.replies, Handlers(handlers), expose_errors)
        self._grace = grace
        self._options = SubscribeOptions(prefetch=concurrency)
        self._slots = asyncio.Semaphore(concurrency)
        self._running = 0
        self._idle = asyncio.Event()
        self._ending = False
        self._ended = asyncio.Event()
        self._receivers: list[anyio.CancelScope] = []
        self._owner = Owner(f"rpc server of {topic}")
        self._stack = AsyncExitStack()

    @property
    def running(self) -> int:
        """The number of requests that are executed now."""
        return self._running

    async def serve_forever(self) -> None:
        """Wait until the block ends, or this is cancelled; several tasks may.

        :raises BackendClosedError: the server cannot go on, because of its ``__cause__``.
        """
        self._owner.check()
        await self._ended.wait()
        if self._owner.failure is not None:
            self._owner.check()

    # The two ends.

    async def __aenter__(self) -> Self:
        """Make what is missing of the topic, and begin to take requests.

        :raises NotSupportedError: the broker lacks DIRECT_ROUTING, feature ``routing``.
        """
        if self._owner.started:
            message = "an RpcServer is entered once; make another one"
            raise ConfigurationError(message)
        await self._owner.start(self._open, self._close)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish what runs, and return the rest.

        :raises BackendClosedError: the server ended before, because of its ``__cause__``.
        """
        try:
            await self._drain()
        finally:
            await self._owner.stop(0.0)
        if exc is None and self._owner.failure is not None:
            self._owner.check()

    async def _open(self) -> None:
        topic, broker, enter = self._topic, self._broker, self._stack.enter_async_context
        await topic.declare(broker)
        queues = [
            broker.subscribe(
                topic.calls,
                topic.shared_queue,
                options=self._options,
                routing_keys=[topic.shared_key],
                on_gap=self._gap,
            ),
            broker.subscribe(topic.fanout, options=self._options, on_gap=self._gap),
        ]
        if self._name is not None:
            own = broker.subscribe(
                topic.calls,
                topic.queue_of(self._name),
                options=self._options,
                routing_keys=[self._name],
                on_gap=self._gap,
            )
            queues.append(own)
        subscriptions = [await enter(queue) for queue in queues]
        assert self._owner.group is not None  # noqa: S101  # this runs inside it
        for subscription in subscriptions:
            self._owner.group.start_soon(self._receive, subscription, self._owner.group)

    async def _drain(self) -> None:
        """Take nothing more, and give what runs its time."""
        self._ending = True
        for receiver in self._receivers:
            receiver.cancel()
        if self._running:
            with anyio.move_on_after(self._grace):
                await self._idle.wait()

    async def _close(self, grace: float) -> None:
        self._ended.set()
        await self._stack.aclose()

    # Requests.

    async def _gap(self, gap: Gap) -> None:
        # Whoever called and was not heard finds out at the deadline; casts are lost.
        logger.warning("requests of %s may have been lost (%s)", self._topic.name, gap.reason)

    async def _receive(self, requests: Subscription, group: TaskGroup) -> None:
        with anyio.CancelScope() as receiving:
            self._receivers.append(receiving)
            async for delivery in requests:
                await self._slots.acquire()
                if self._ending:
                    # It goes back with its subscription.
                    self._slots.release()
                    return
                self._running += 1
                self._idle.clear()
                group.start_soon(self._execute, delivery)

    async def _execute(self, delivery: Delivery) -> None:
        try:
            await self._executor.execute(delivery)
        finally:
            self._slots.release()
            self._running -= 1
            if not self._running:
                self._idle.set()
