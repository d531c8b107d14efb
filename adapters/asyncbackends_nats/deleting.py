"""Takes queues and exchanges away, and what the register keeps of them."""

from typing import Any

from asyncbackends_nats.driver_errors import NO_STREAM, JetStreamError
from asyncbackends_nats.exchanges import Exchanges
from asyncbackends_nats.names import short, token
from asyncbackends_nats.queues import QUEUE, RECORD, Queues, metadata_of
from asyncbackends_nats.register import Register
from asyncbackends_nats.requests import Requests

__all__ = ("Deleting",)


class Deleting:
    """Takes queues and exchanges away."""

    def __init__(self, requests: Requests, exchanges: Exchanges, register: Register) -> None:
        self._requests = requests
        self._exchanges = exchanges
        self._names = exchanges.names
        self._queues = Queues(requests)
        self._register = register

    async def delete_queue(self, name: str, private_on: str | None) -> None:
        """Take a queue away.

        :param private_on: the exchange of a private one.
        """
        if private_on is not None:
            await self._queues.delete(self._names.stream(private_on), short(token(name)))
            return
        while True:
            last = await self._register.last()
            found = await self._register.read(name)
            if found is None:
                return
            # Without any record the consumer would not be found when this is asked again; with the
            # one it has, who consumes it would make it again before the record is gone.
            deletes, mark = found.deletes, found.sequence
            if deletes is None:
                marked = await self._register.mark(name, found)
                if marked is None:
                    continue
                deletes, mark = found.sequence, marked
            stream = self._names.stream(found.record.exchange)
            await self._queues.delete_recorded(stream, short(token(name)), deletes)
            await self._register.forget(name, mark, last)
            return

    async def delete_exchange(self, name: str) -> None:
        """Take an exchange away with its queues and their records."""
        # Ahead of it: when this is asked again nothing else tells which queues there were.
        for queue in await self._queues_on(name):
            last = await self._register.last()
            found = await self._register.read(queue)
            if found is not None and found.record.exchange == name:
                await self._register.forget(queue, found.sequence, last)
        await self._exchanges.delete(name)

    async def _queues_on(self, exchange: str) -> list[str]:
        stream = self._names.stream(exchange)
        queues: list[str] = []
        offset = 0
        while True:
            try:
                page = await self._requests.api(f"CONSUMER.LIST.{stream}", {"offset": offset})
            except JetStreamError as error:
                if error.err_code == NO_STREAM:
                    return []
                raise
            consumers: list[dict[str, Any]] = page.get("consumers") or []
            offset += len(consumers)
            metadata = [metadata_of(one) for one in consumers]
            queues += [one[QUEUE] for one in metadata if RECORD in one and QUEUE in one]
            if not consumers or offset >= page.get("total", 0):
                return queues
