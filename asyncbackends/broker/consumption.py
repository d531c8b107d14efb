"""Keeps every subscription attached to the present consuming link."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

import anyio

from asyncbackends.broker.subscription import QueueSubscription
from asyncbackends.broker.wire import ConsumingLink
from asyncbackends.errors import (
    BackendClosedError,
    BackendError,
    ConnectionLostError,
    OperationTimeoutError,
    QueueNotFoundError,
)
from asyncbackends.observability import Seam

__all__ = ("ConsumingLinks", "Consumption")

PAUSE: Final = 0.05
"""Seconds before a queue that vanished while it was attached is declared again."""


class ConsumingLinks(Protocol):
    """Where the present link is had from."""

    @property
    def link(self) -> ConsumingLink | None:
        """The present link."""
        ...

    async def wait(self, seconds: float) -> ConsumingLink:
        """Give the link, when there is one."""
        ...


class Consumption:
    """The subscriptions of one broker."""

    def __init__(
        self,
        links: ConsumingLinks,
        *,
        operation_timeout: float,
        start: Callable[[Coroutine[Any, Any, None]], None],
        seam: Seam,
    ) -> None:
        self._links = links
        self._timeout = operation_timeout
        self._start = start
        self._seam = seam
        self._subscriptions: dict[QueueSubscription, None] = {}

    async def open(self, subscription: QueueSubscription) -> None:
        """See :class:`asyncbackends.broker.subscription.SubscriptionHost`."""
        self._subscriptions[subscription] = None
        try:
            with self._seam("subscribe"):
                await self._attach_to_some_link(subscription)
        except BaseException:
            # Nobody is going to leave the block, and the link may have a consumer by now.
            await self.close(subscription)
            raise

    async def _attach_to_some_link(self, subscription: QueueSubscription) -> None:
        subscription.attaching = True
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    link = await self._links.wait(self._timeout)
                    try:
                        await self._attach(subscription, link)
                    except (ConnectionLostError, QueueNotFoundError):
                        await asyncio.sleep(PAUSE)
                        continue
                    if self._links.link is link:
                        return
                    subscription.detach()
        except TimeoutError as error:
            if isinstance(error, BackendError):
                raise
            message = (
                f"queue {subscription.queue or '(private)'} of {subscription.context.exchange} "
                f"could not be consumed within {self._timeout:g} s"
            )
            raise OperationTimeoutError(message) from error
        finally:
            subscription.attaching = False

    async def _attach(self, subscription: QueueSubscription, link: ConsumingLink) -> None:
        declaration = subscription.declaration
        declared = await link.declare_queue(declaration, must_match=False)
        flow = subscription.begin(declared)
        prefetch = subscription.context.options.prefetch
        flow.begin(await link.consume(declaration.name, prefetch, flow))

    async def link_up(self, link: ConsumingLink) -> None:
        """Attach all to a new link."""
        for subscription in list(self._subscriptions):
            if subscription.attaching:
                continue
            subscription.attaching = True
            try:
                async with asyncio.timeout(self._timeout):
                    await self._attach(subscription, link)
            except (ConnectionLostError, TimeoutError):
                raise
            except BackendError as error:
                subscription.fail(error)
            finally:
                subscription.attaching = False

    def link_down(self) -> None:
        """Let all that came from the link be stale."""
        for subscription in self._subscriptions:
            subscription.detach()

    def reattach(self, subscription: QueueSubscription) -> None:
        """See :class:`asyncbackends.broker.subscription.SubscriptionHost`."""
        if not subscription.attaching:
            subscription.attaching = True
            self._start(self._reattach(subscription))

    async def _reattach(self, subscription: QueueSubscription) -> None:
        while subscription in self._subscriptions:
            try:
                with self._seam("subscribe"):
                    await self._attach_to_some_link(subscription)
            except (ConnectionLostError, OperationTimeoutError) as error:
                self._seam.logger.warning(
                    "queue %s is not consumed for now: %s",
                    subscription.queue or "of a subscription",
                    type(error).__name__,
                )
            except BackendError as error:
                subscription.fail(error)
                return
            else:
                break
        if subscription not in self._subscriptions:
            subscription.detach()

    async def close(self, subscription: QueueSubscription) -> None:
        """See :class:`asyncbackends.broker.subscription.SubscriptionHost`."""
        self._subscriptions.pop(subscription, None)
        flow, link = subscription.flow, self._links.link
        if flow is not None:
            flow.hand_over()
        subscription.fail(BackendClosedError("the subscription has ended"))
        if flow is None or link is None:
            return
        with anyio.CancelScope(shield=True), anyio.move_on_after(self._timeout):
            try:
                with self._seam("unsubscribe"):
                    await flow.close()
                    if subscription.declaration.private_ttl is not None:
                        await link.delete_queue(subscription.declaration.name)
            except BackendError as error:
                # The queue goes after its private_ttl, and what is unsettled comes again.
                self._seam.logger.debug(
                    "the end of a consumer was not clean: %s", type(error).__name__
                )

    async def shut_down(self, error: BackendError) -> None:
        """End all; their iterations raise ``error`` from now on."""
        for subscription in list(self._subscriptions):
            await self.close(subscription)
            subscription.fail(error)
