"""What becomes of one request: executed, answered, and settled last."""

import asyncio
import logging
from typing import Final

from asyncbackends.broker.delivery import Delivery
from asyncbackends.errors import (
    BackendClosedError,
    BackendError,
    InvalidRequestError,
    MessageTooLargeError,
)
from asyncbackends.protocols.message_broker import Publishing
from asyncbackends.protocols.values import Json
from asyncbackends.rpc.failures import Failure, failure_of
from asyncbackends.rpc.forms import failure_message, read_request, result_message
from asyncbackends.rpc.handlers import Handlers, RefusedError

__all__ = ("Executor",)

logger = logging.getLogger("asyncbackends.rpc")

PATIENCE: Final = 30.0
"""Seconds for the confirm of a reply, where the request does not say how long is waited for it."""
MAX_ANSWERED: Final = 1000
"""So many requests are remembered whose ack was lost with its link."""


class _Run:
    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.answered = False


class Executor:
    """Executes requests of one server, each once as long as the server lives.

    A request whose link is lost while it runs comes again: the second one waits for the first, and
    is acked with it. One whose ack was lost is acked when it comes again. Should the broker give it
    to another server instead, that one executes it once more.
    """

    def __init__(
        self,
        broker: Publishing,
        replies: str,
        handlers: Handlers,
        exposed: tuple[type[Exception], ...],
    ) -> None:
        self._broker = broker
        self._replies = replies
        self._handlers = handlers
        self._exposed = exposed
        self._running: dict[str, _Run] = {}
        self._answered: dict[str, None] = {}

    async def execute(self, delivery: Delivery) -> None:
        """Execute a request and ack it; cancelled, it goes back to the broker."""
        message_id = delivery.message_id
        if message_id is None:
            async with delivery.process():
                await self._answer(delivery)
            return
        async with delivery.process():
            run = self._running.get(message_id)
            if run is not None:
                await run.ended.wait()
                if not run.answered:
                    await delivery.nack()
            elif message_id not in self._answered:
                run = self._running[message_id] = _Run()
                try:
                    await self._answer(delivery)
                    run.answered = True
                finally:
                    del self._running[message_id]
                    run.ended.set()
        if run is not None and run.answered and not delivery.settled:
            self._answered[message_id] = None
            if len(self._answered) > MAX_ANSWERED:
                del self._answered[next(iter(self._answered))]

    async def _answer(self, delivery: Delivery) -> None:
        began = asyncio.get_running_loop().time()
        reply = await self._outcome(delivery)
        reply_to = delivery.reply_to
        if reply_to is None:
            return
        patience = PATIENCE
        if delivery.expires_at is not None and delivery.timestamp is not None:
            # Both are by the caller's clock, so this needs no other.
            patience = (delivery.expires_at - delivery.timestamp).total_seconds()
        remaining = patience - (asyncio.get_running_loop().time() - began)
        if remaining <= 0:
            logger.warning(
                "request %s took longer than its caller waits: no reply", delivery.message_id
            )
            return
        try:
            await self._reply(delivery, reply_to, reply, remaining)
        except BackendClosedError:
            # It is not acked, so another server answers.
            raise
        except BackendError as error:
            logger.warning(
                "the reply to request %s was not stored (%s); its caller waits in vain",
                delivery.message_id,
                type(error).__name__,
            )

    async def _reply(
        self, delivery: Delivery, reply_to: str, reply: dict[str, Json], timeout: float
    ) -> None:
        try:
            await self._publish(delivery, reply_to, reply, timeout)
        except MessageTooLargeError as error:
            text = f"the result takes {error.size} bytes, and a message at most {error.limit}"
            failure = Failure("result", "ReplyTooLargeError", text)
        except InvalidRequestError as error:
            logger.warning("the result of request %s: %s", delivery.message_id, error)
            failure = Failure("result", "ReplyNotJsonError", "the result is not JSON")
        else:
            return
        await self._publish(delivery, reply_to, failure_message(failure), timeout)

    async def _publish(
        self, delivery: Delivery, reply_to: str, reply: dict[str, Json], timeout: float
    ) -> None:
        await self._broker.publish(
            reply,
            exchange=self._replies,
            routing_key=reply_to,
            correlation_id=delivery.correlation_id,
            timeout=timeout,
        )

    async def _outcome(self, delivery: Delivery) -> dict[str, Json]:
        try:
            request = read_request(delivery.body)
        except InvalidRequestError as error:
            logger.warning("message %s on %s: %s", delivery.message_id, delivery.exchange, error)
            return failure_message(Failure("request", "InvalidRequestError", str(error)))
        try:
            return result_message(await self._handlers.call(request, delivery))
        except RefusedError as refusal:
            logger.warning("request %s is refused: %s", delivery.message_id, refusal)
            return failure_message(refusal.failure)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancels this task: something that the handler awaited was cancelled.
            return self._failed(delivery, error)
        except Exception as error:  # noqa: BLE001  # whatever it is, its caller hears of it
            return self._failed(delivery, error)

    def _failed(self, delivery: Delivery, error: BaseException) -> dict[str, Json]:
        logger.warning("the handler of request %s failed", delivery.message_id, exc_info=error)
        return failure_message(failure_of(error, self._exposed))
