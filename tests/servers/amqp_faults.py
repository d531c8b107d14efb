"""Faults between AMQP clients and a real RabbitMQ: what the broker kit asks of LinkFaults."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import aiormq
import pamqp.commands
import pamqp.frame
from aiormq.abc import AbstractChannel

from tests.servers.amqp_frames import Unit
from tests.servers.amqp_link import AmqpLink
from tests.servers.fault_links import Link
from tests.servers.fault_proxy import FaultProxy
from tests.servers.rabbitmq_management import ManagedServer

__all__ = ("AmqpFaults", "restart_broker")

PATIENCE = 60


class AmqpFaults(FaultProxy):
    """``with AmqpFaults(server, namespace) as faults``: clients connect to ``faults.endpoint``.

    Clients say by their ``connection_name`` whether they publish or consume.
    """

    def __init__(
        self,
        server: ManagedServer,
        namespace: str,
        *,
        restart: Callable[[], object] | None = None,
    ) -> None:
        """Stand in front of a server.

        :param restart: how it is restarted, with all there is to it by ``server.restart``, or in
            a third of the time by :func:`restart_broker`; without it :meth:`restart` cuts all links and deletes
            what clients of this proxy declared as not durable.
        """
        super().__init__(server.endpoint, restart)
        self._namespace = namespace
        settings = server.settings()
        parts = (settings[name] for name in ("username", "password", "virtual_host"))
        user, password, host = (quote(part, safe="") for part in parts)
        self._admin = f"amqp://{user}:{password}@{server.endpoint}/{host}"
        self._fleeting: dict[tuple[str, str], None] = {}
        """Kinds and names of what a restart does not keep."""
        self._bound: dict[str, dict[str, None]] = {}
        """The queues of exchanges."""

    def lose_messages(self, name: str) -> None:
        """Purge a queue; AMQP tells nobody of it."""

        async def purge(channel: AbstractChannel) -> None:
            await channel.queue_purge(self._name(name))

        self.run(self._administer(purge))

    def delete_queue(self, name: str) -> None:
        """Delete a queue."""

        async def delete(channel: AbstractChannel) -> None:
            await channel.queue_delete(self._name(name))

        self.run(self._administer(delete))

    def delete_exchange(self, name: str, *, queues: bool = True) -> None:
        """Delete an exchange, as a client of ours does: with its queues.

        :param queues: with False it is deleted as others do, and its queues lose their bindings.
        """
        exchange = self._name(name)

        async def delete(channel: AbstractChannel) -> None:
            await channel.exchange_delete(exchange)
            for queue in self._bound.pop(exchange, ()) if queues else ():
                await channel.queue_delete(queue)

        self.run(self._administer(delete))

    async def remove_what_is_not_durable(self) -> None:
        """Delete exchanges and queues that were declared so."""

        async def remove(channel: AbstractChannel) -> None:
            for kind, name in self._fleeting:
                delete = channel.exchange_delete if kind == "exchange" else channel.queue_delete
                await delete(name)

        await self._administer(remove)
        self._fleeting.clear()

    def _name(self, name: str) -> str:
        return f"{self._namespace}.{name}" if self._namespace else name

    async def _administer(self, work: Callable[[AbstractChannel], Awaitable[None]]) -> None:
        connection = await aiormq.connect(self._admin)
        try:
            await work(await connection.channel())
        finally:
            await connection.close()

    def make_link(self) -> Link:
        """Make one for a client that has just come."""
        return AmqpLink(self)

    def declared(self, unit: Unit) -> None:
        """Note what a client declares or binds."""
        found: Any = pamqp.frame.unmarshal(unit.raw)[2]
        match found:
            case pamqp.commands.Exchange.Declare(passive=False, durable=False):
                self._fleeting["exchange", found.exchange] = None
            case pamqp.commands.Queue.Declare(passive=False, durable=False):
                self._fleeting["queue", found.queue] = None
            case pamqp.commands.Queue.Bind():
                self._bound.setdefault(found.exchange, {})[found.queue] = None
            case _:
                pass


def restart_broker(server: ManagedServer) -> None:
    """Let a server end and start its broker, all connections and files, but not its process."""
    server.evaluate("rabbit:stop().", patience=PATIENCE)
    server.evaluate("rabbit:start().", patience=PATIENCE)
