"""The two links of a broker, what is made again on a new one, and the state that they show."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import anyio
import msgspec

from asyncbackends.backoff import Backoff
from asyncbackends.broker.consumption import Consumption
from asyncbackends.broker.outbox import Outbox
from asyncbackends.broker.unanswered import AnswerWatch
from asyncbackends.broker.wire import ConsumingLink, ExchangeMaking, PublishingLink, Wire
from asyncbackends.errors import (
    BackendError,
    ConnectionLostError,
    OperationTimeoutError,
)
from asyncbackends.linking import Generation, Links
from asyncbackends.mapping import DriverErrors
from asyncbackends.observability import LinkStates
from asyncbackends.options import BrokerOptions, ServerBrokerOptions
from asyncbackends.protocols.backend import ConnectionState
from asyncbackends.protocols.messages import ExchangeKind

__all__ = ("Connections",)

ResultT = TypeVar("ResultT")

PAUSE: Final = 0.05
"""Seconds before something is asked again whose link was lost, while the next one comes up."""


class _Exchange(msgspec.Struct, frozen=True):
    durable: bool
    kind: ExchangeKind


class Connections:
    """Publishing and consuming, each with a link of its own."""

    def __init__(
        self,
        endpoints: Sequence[str],
        wire: Wire,
        options: BrokerOptions | ServerBrokerOptions,
        outbox: Outbox,
        states: LinkStates,
        backoff: Backoff,
        logger: logging.Logger,
    ) -> None:
        self._wire = wire
        self._errors = DriverErrors(wire.error)
        self._timeout = options.operation_timeout
        self._outbox = outbox
        self._states = states
        self._logger = logger
        self._exchanges: dict[str, _Exchange] = {}
        self._consumption: Consumption | None = None
        self._endpoint: str | None = None
        self._troubles: dict[str, str] = {}
        self._blocked: str | None = None
        self._answers: AnswerWatch | None = None
        if isinstance(options, ServerBrokerOptions):
            self._answers = AnswerWatch(
                wire.clock, options.link_timeout, outbox, lambda: self._blocked is not None
            )
        self.publishing: Links[PublishingLink] = Links(
            endpoints,
            self._dial_publishing,
            self._publishing_up,
            self._publishing_down,
            self._publishing_changed,
            self._errors,
            what="message broker",
            connect_timeout=options.connect_timeout,
            backoff=backoff,
            clock=wire.clock,
            logger=logger,
        )
        self.consuming: Links[ConsumingLink] = Links(
            endpoints,
            self._dial_consuming,
            self._consuming_up,
            self._consuming_down,
            self._consuming_changed,
            self._errors,
            what="message broker",
            connect_timeout=options.connect_timeout,
            backoff=backoff,
            clock=wire.clock,
            logger=logger,
        )

    async def open(self, consumption: Consumption) -> None:
        """Make first contact.

        :raises ConnectionFailedError: no endpoint can be used.
        """
        self._consumption = consumption
        self._states.set(ConnectionState.CONNECTING)
        await self.consuming.first()
        await self.publishing.first()

    async def close(self) -> None:
        """End both links."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.publishing.close)
            group.start_soon(self.consuming.close)

    async def ask(
        self, operation: str, ask: Callable[[ConsumingLink], Awaitable[ResultT]]
    ) -> ResultT:
        """Ask the broker, again on the next link if one is lost: all of it can be repeated."""
        asked = False
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    link = await self.consuming.wait(self._timeout)
                    asked = True
                    try:
                        with self._errors:
                            return await ask(link)
                    except ConnectionLostError:
                        await asyncio.sleep(PAUSE)
        except TimeoutError as error:
            if isinstance(error, BackendError):
                raise
            if not asked:
                message = f"there was no link to the message broker for {self._timeout:g} s"
                raise ConnectionLostError(message) from error
            message = f"the message broker did not answer {operation} in {self._timeout:g} s"
            raise OperationTimeoutError(message, maybe_applied=True) from error

    def remember_exchange(self, name: str, *, durable: bool, kind: ExchangeKind) -> None:
        """Make the exchange again on every new link."""
        self._exchanges[name] = _Exchange(durable, kind)

    def forget_exchange(self, name: str) -> None:
        """Make it no more."""
        self._exchanges.pop(name, None)

    # Publishing.

    async def _dial_publishing(self, endpoint: str, generation: Generation) -> PublishingLink:
        self._blocked = None
        events = _PublishingEvents(self, self._outbox, generation)
        link = await self._wire.open_publishing(endpoint, events)
        if self._answers is not None:
            self._answers.begin(generation.lost)
        return link

    async def _publishing_up(self, link: PublishingLink) -> None:
        await self._remake_exchanges(link)
        self._outbox.attach(link)

    def _publishing_down(self) -> None:
        if self._answers is not None:
            self._answers.end()
        self._outbox.detach()

    def _publishing_changed(self, endpoint: str | None, error: BackendError | None) -> None:
        if error is not None:
            self._blocked = None
        self._note("publishing", error)

    def blocked(self, reason: str | None) -> None:
        """Hear that the broker takes no messages, or takes them again."""
        self._blocked = reason
        self._show()

    # Consuming.

    async def _dial_consuming(self, endpoint: str, generation: Generation) -> ConsumingLink:
        return await self._wire.open_consuming(endpoint, generation)

    async def _consuming_up(self, link: ConsumingLink) -> None:
        await self._remake_exchanges(link)
        if self._consumption is not None:
            await self._consumption.link_up(link)

    def _consuming_down(self) -> None:
        if self._consumption is not None:
            self._consumption.link_down()

    def _consuming_changed(self, endpoint: str | None, error: BackendError | None) -> None:
        if endpoint is not None:
            self._endpoint = endpoint
        self._note("consuming", error)

    async def _remake_exchanges(self, link: ExchangeMaking) -> None:
        for name, exchange in list(self._exchanges.items()):
            if name not in self._exchanges:
                continue
            try:
                async with asyncio.timeout(self._timeout):
                    with self._errors:
                        await link.create_exchange(
                            name, durable=exchange.durable, kind=exchange.kind
                        )
            except (ConnectionLostError, TimeoutError):
                raise
            except BackendError as error:
                # Somebody made it another way meanwhile, or it is forbidden now: whoever uses it
                # hears of it, and all others need the link.
                self._logger.warning("exchange %s is not made again: %s", name, error)

    # The state of both together.

    def _note(self, link: str, error: BackendError | None) -> None:
        if error is None:
            self._troubles.pop(link, None)
        else:
            self._troubles[link] = f"the link for {link} was lost: {error}"
        self._show()

    def _show(self) -> None:
        if self._troubles:
            reason = "; ".join(self._troubles.values())
            self._states.set(ConnectionState.DISCONNECTED, self._endpoint, reason)
        elif self._blocked is not None:
            self._states.set(ConnectionState.BLOCKED, self._endpoint, self._blocked)
        elif self.publishing.link is not None and self.consuming.link is not None:
            self._states.set(ConnectionState.CONNECTED, self._endpoint)


class _PublishingEvents:
    """What one publishing link tells, passed on to the outbox."""

    def __init__(self, connections: Connections, outbox: Outbox, generation: Generation) -> None:
        self._outbox = outbox
        self._generation = generation
        self.confirmed = outbox.confirmed
        self.refused = outbox.refused
        self.writable = outbox.writable
        self.blocked = connections.blocked
        self.lost = generation.lost

    def closed_by_server(self, error: BackendError) -> None:
        """See :class:`asyncbackends.broker.wire.PublishingEvents`."""
        self._outbox.search_culprit(error)
        self._generation.lost(error)
