"""Keeps every subscription attached to the present consuming link."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol

import anyio

from asyncbackends.broker.flow import Flow
from asyncbackends.broker.subscription import QueueSubscription
from asyncbackends.broker.wire import ConsumingLink
from asyncbackends.errors import (
    BackendClosedError,
    BackendError,
    ConnectionLostError,
    OperationTimeoutError,
    QueueNotFoundError,
)
from asyncbackends.mapping import DriverErrors
from asyncbackends.observability import Seam

__all__ = ("ConsumingLinks", "Consumption")

PAUSE: Final = 0.05
"""Seconds before a queue that vanished while it was attached is declared again."""
BURYING: Final = 2.0
"""Seconds at most for which the end of a consumer waits for its dead letters."""


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
        start: Callable[[Callable[[], Coroutine[Any, Any, None]]], bool],
        seam: Seam,
    ) -> None:
        """Begin without subscriptions.

        :param start: runs something in the owner's task group, or says that there is none.
        """
        self._links = links
        self._timeout = operation_timeout
        self._start = start
        self._seam = seam
        self._errors = DriverErrors(seam.errors)
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
        subscription.attaching, asked = True, False
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    link = await self._links.wait(self._timeout)
                    asked = True
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
            if not asked:
                message = f"there was no link to the message broker for {self._timeout:g} s"
                raise ConnectionLostError(message) from error
            message = (
                f"queue {subscription.queue or '(private)'} of {subscription.context.exchange} "
                f"could not be consumed within {self._timeout:g} s"
            )
            raise OperationTimeoutError(message) from error
        finally:
            subscription.attaching = False

    async def _attach(self, subscription: QueueSubscription, link: ConsumingLink) -> None:
        declaration, flow = subscription.declaration, None
        if subscription.failure is None:
            try:
                with self._errors:
                    declared = await link.declare_queue(declaration, must_match=False)
            except BaseException as error:
                if not isinstance(error, BackendError) or error.maybe_applied:
                    subscription.perhaps_made()
                raise
            if subscription.failure is None:
                flow = subscription.begin(declared, link)
                prefetch = subscription.context.options.prefetch
                try:
                    with self._errors:
                        flow.begin(await link.consume(declaration.name, prefetch, flow))
                except BaseException:
                    subscription.detach()
                    raise
        if subscription.failure is not None:
            # Its block was left meanwhile, when there was nothing to close yet.
            self._start(partial(self._release, subscription, flow, link))
            raise subscription.failure
        if subscription.is_cancelled:
            message = f"queue {declaration.name} went away as it began to be consumed"
            raise QueueNotFoundError(message)

    async def link_up(self, link: ConsumingLink) -> None:
        """Attach all to a new link."""
        for subscription in list(self._subscriptions):
            if subscription.attaching or subscription.failure is not None:
                continue
            subscription.attaching, vanished = True, False
            try:
                async with asyncio.timeout(self._timeout):
                    await self._attach(subscription, link)
            except (ConnectionLostError, TimeoutError):
                raise
            except QueueNotFoundError:
                vanished = True
            except BackendError as error:
                self._fail(subscription, error)
            finally:
                subscription.attaching = False
            if vanished:
                self.reattach(subscription)

    def link_down(self) -> None:
        """Let all that came from the link be stale."""
        for subscription in self._subscriptions:
            subscription.detach()

    def reattach(self, subscription: QueueSubscription) -> None:
        """See :class:`asyncbackends.broker.subscription.SubscriptionHost`."""
        if not subscription.attaching and subscription.failure is None:
            subscription.attaching = True
            self._start(partial(self._reattach, subscription))

    async def _reattach(self, subscription: QueueSubscription) -> None:
        while subscription.failure is None:
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
                self._fail(subscription, error)
            else:
                return

    def _fail(self, subscription: QueueSubscription, error: BackendError) -> None:
        """End it for good, unless its block was left meanwhile."""
        if subscription.failure is None:
            self._subscriptions.pop(subscription, None)
            subscription.fail(error)

    async def close(self, subscription: QueueSubscription) -> None:
        """See :class:`asyncbackends.broker.subscription.SubscriptionHost`."""
        subscription.stop(BackendClosedError("the subscription has ended"))
        flow, link = subscription.flow, subscription.link
        if link is None and subscription.declaration.private_ttl is not None:
            # Its queue may be there all the same.
            link = self._links.link
        if link is None:
            subscription.detach()
            self._subscriptions.pop(subscription, None)
            return
        released = asyncio.Event()

        async def release() -> None:
            try:
                await self._release(subscription, flow, link)
            finally:
                self._subscriptions.pop(subscription, None)
                released.set()

        # In the owner's task group, where the end goes on when the waiting for it is cancelled.
        if self._start(release):
            with anyio.CancelScope(shield=True):
                await released.wait()

    async def _release(
        self, subscription: QueueSubscription, flow: Flow | None, link: ConsumingLink
    ) -> None:
        """End a consumer, and delete its queue if that is private."""
        try:
            if flow is not None:
                with anyio.move_on_after(min(BURYING, self._timeout)):
                    await flow.buried()
            with anyio.move_on_after(self._timeout), self._seam("unsubscribe"):
                if flow is not None:
                    await flow.close()
                if subscription.declaration.private_ttl is not None:
                    await link.delete_queue(subscription.declaration.name)
        except BackendError as error:
            # The queue goes after its private_ttl, and what is unsettled comes again.
            self._seam.logger.debug("the end of a consumer was not clean: %s", type(error).__name__)
        finally:
            if flow is not None:
                flow.end()

    async def shut_down(self, error: BackendError, seconds: float) -> None:
        """End all within so many seconds; their iterations raise ``error`` from now on."""
        subscriptions = list(self._subscriptions)
        self._subscriptions.clear()
        for subscription in subscriptions:
            subscription.stop(error)
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as group:
                for subscription in subscriptions:
                    if subscription.link is not None:
                        group.start_soon(
                            self._release, subscription, subscription.flow, subscription.link
                        )
        for subscription in subscriptions:
            subscription.detach()
