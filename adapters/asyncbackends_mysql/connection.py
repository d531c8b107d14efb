"""One connection to a server, whichever driver has it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from asyncbackends.sql.effects import Applied, Effects
from asyncbackends.sql.server import Connection, Contended, Refused, Row
from asyncbackends_mysql.applying import packets
from asyncbackends_mysql.dialect import literal
from asyncbackends_mysql.driver_errors import (
    ServerError,
    is_contention,
    is_lost,
    is_read_only,
    is_refusal,
)
from asyncbackends_mysql.link import Link
from asyncbackends_mysql.session_setup import Facts
from asyncbackends_mysql.unit_statements import unit_statements

__all__ = ("MysqlConnection",)

BEGIN: Final = "START TRANSACTION;"
TAKE_BACK: Final = "ROLLBACK;"
PATIENCE: Final = 60
"""Seconds that a script waits for another one; whoever calls it has a shorter deadline."""


class MysqlConnection:
    """Implements :class:`asyncbackends.sql.server.Connection`."""

    def __init__(
        self,
        link: Link,
        endpoint: str,
        namespace: str,
        facts: Facts,
        stop: Callable[[int], Awaitable[None]],
    ) -> None:
        """Use a link that is logged in.

        :param stop: ends the thread of that number on the server, over another connection.
        """
        self.endpoint = endpoint
        self.server = facts.server
        self.guarantees = facts.guarantees
        self.limits = facts.limits
        self.read_only = facts.read_only
        self._link = link
        self._statements = unit_statements(namespace)
        self._packet_bytes = facts.packet_bytes
        self._stop = stop
        self._in_flight = False
        """A call was sent, and its answer was not read to the end."""
        self._in_transaction = False
        self._begins = False
        """The transaction begins with the first thing that is done in it."""
        self._takes_back = False
        """A unit failed in its middle: what it did is taken back before anything else is done."""
        self._spoiled = False

    @property
    def reusable(self) -> bool:
        return not (self._in_flight or self._in_transaction or self._spoiled) and self._link.is_open

    async def _run(self, text: str) -> list[Sequence[Row]]:
        if self._begins:
            text = BEGIN + text
        if self._takes_back:
            text = TAKE_BACK + text
        self._begins = self._takes_back = False
        self._in_flight = True
        try:
            results = await self._link.query(text)
        except ServerError as error:
            self._in_flight = is_lost(error)
            # The next one may find a server that takes writes.
            if is_read_only(error):
                self.read_only = self._spoiled = True
            raise
        self._in_flight = False
        return results

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> Sequence[Row]:
        try:
            results = await self._run(statement % tuple(map(literal, parameters)))
        except ServerError as error:
            if is_contention(error):
                raise Contended(str(error)) from error
            raise
        return results[-1] if results else ()

    async def apply(self, effects: Effects) -> Applied:
        alone = not self._in_transaction
        texts = packets(effects, self._statements, self._packet_bytes, alone=alone)
        try:
            self._in_transaction = True
            for text in texts[:-1]:
                await self._run(text)
            results = await self._run(texts[-1])
            self._in_transaction = not alone
        except ServerError as error:
            if is_lost(error):
                raise
            if alone:
                self._in_transaction = False
                self._takes_back = True
                # Whoever looks why it was refused does so at once, and takes it back with that.
                asyncio.get_running_loop().call_soon(self._take_back)
            if is_refusal(error):
                raise Refused(str(error)) from error
            if is_contention(error):
                raise Contended(str(error)) from error
            raise
        before, now = results[-1][-1]
        return Applied(before, now)

    def _take_back(self) -> None:
        """Let go of the locks of a unit that failed, if nobody has used the connection since."""
        if self._takes_back and self._link.is_open:
            self._takes_back = False
            self._link.send_rollback()

    async def begin(self) -> None:
        self._in_transaction = self._begins = True

    async def commit(self) -> None:
        await self._end("COMMIT")

    async def rollback(self) -> None:
        await self._end("ROLLBACK")

    async def _end(self, text: str) -> None:
        if not self._begins:
            await self._run(text)
        self._in_transaction = self._begins = False

    async def script(self, statements: Sequence[str]) -> None:
        # Others make them at the same time, and foreign keys then get into each other's way.
        name = "CONCAT('asyncbackends ', LEFT(SHA2(DATABASE(), 256), 40))"
        texts = [statement % () for statement in statements]
        packet = [f"DO GET_LOCK({name}, {PATIENCE})", *texts, f"DO RELEASE_LOCK({name})"]
        try:
            await self._run(";".join(packet))
        except ServerError:
            # With the connection the lock ends.
            self._spoiled = True
            raise

    async def close(self) -> None:
        await self._link.part()

    def abort(self) -> None:
        self._link.abort()

    async def give_up(self) -> None:
        if self._in_flight:
            await self._stop(self._link.thread_id)


_: type[Connection] = MysqlConnection
