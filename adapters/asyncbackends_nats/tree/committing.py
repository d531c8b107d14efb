"""Has units of messages stored by the stream, and sorts its refusals."""

import asyncio
import random
from collections.abc import Awaitable, Mapping, Sequence
from secrets import token_hex
from typing import Any, Final

import msgspec

from asyncbackends.errors import ConnectionLostError, InvalidRequestError
from asyncbackends_nats.driver_errors import (
    NO_ANSWERER,
    OTHER_SEQUENCE,
    TEMPORARY,
    JetStreamError,
)
from asyncbackends_nats.tree.asking import Answer, Asking, again
from asyncbackends_nats.tree.units import BRIEFLY, Frames, Message, frames

__all__ = ("Committing", "OvertakenError", "pause")

BUSY: Final = frozenset({10210, 10176})
"""Too many batches are open at once, or this one was given up for it: nothing was stored."""
STORE_FAILED: Final = 10077
"""Also of a store that is being closed, and may have taken it before."""
LONGEST_PAUSE: Final = 0.1
HEADERS: Final = 16_384
"""Bytes that the headers of a message have at most."""


MOST_BATCHES: Final = 4
"""Batches of one client on their way: each takes a server milliseconds, and what follows waits."""
DUPLICATE: Final = 10201
NOTHING: Final[Mapping[str, int]] = {}


class OvertakenError(Exception):
    """A condition did not hold: somebody wrote meanwhile, and nothing was stored."""

    def __init__(self, *, by_name: bool = False) -> None:
        super().__init__()
        self.by_name = by_name
        """It was not the first message of its name."""


class _Ack(msgspec.Struct):
    seq: int = 0
    duplicate: bool = False
    error: dict[str, Any] | None = None


class Committing:
    """Writes over one connection.

    :param spare: a subject that nobody reads, for conditions.
    :param most: bytes of headers and body that the server takes.
    """

    def __init__(self, asking: Asking, spare: str, most: int) -> None:
        self._asking = asking
        self._spare = spare
        self._most = most
        self._decoder = msgspec.json.Decoder(_Ack)
        self._name = token_hex(6)
        self._batches = 0
        self._turns = asyncio.Semaphore(MOST_BATCHES)

    def framed(self, conditions: Mapping[str, int], messages: Sequence[Message]) -> Frames:
        """Give a unit as it is sent."""
        self._batches += 1
        batch = f"{self._name}{self._batches}".encode()
        return frames(conditions, messages, self._spare, batch)

    async def commit(
        self, conditions: Mapping[str, int], messages: Sequence[Message]
    ) -> tuple[Frames, int]:
        """Store all of a unit, or nothing; give the sequence of its last message.

        :raises OvertakenError: a condition does not hold.
        :raises ConnectionLostError: there is no stream for now, or no answer.
        """
        largest = max((len(one.body) for one in messages), default=0)
        if largest + HEADERS > self._most:
            words = f"the server takes {self._most} bytes at once (its max_payload)"
            raise InvalidRequestError(f"{words}: a value of {largest} has no room there")
        unit = self.framed(conditions, messages)
        if unit.size == 1:
            return unit, await self._store(unit)
        async with self._turns:
            return await self._store_batch(unit, conditions, messages)

    async def holds(self, subject: str, sequence: int) -> bool:
        """Say whether most servers agree on what is last on a subject, by a write of no meaning."""
        try:
            await self.insist(Message(self._spare, BRIEFLY), {subject: sequence})
        except OvertakenError:
            return False
        return True

    async def insist(self, message: Message, conditions: Mapping[str, int] = NOTHING) -> int:
        """Store a message that does no harm whenever it is stored, however often it is sent.

        :param conditions: at most one.
        :raises OvertakenError: its condition does not hold.
        :raises ConnectionLostError: there is no stream for now.
        """
        unit = self.framed(conditions, [message])
        return await self._acknowledged(
            again(lambda: self._asking.ask(unit.subject, unit.body, unit.headers))
        )

    async def _store_batch(
        self, unit: Frames, conditions: Mapping[str, int], messages: Sequence[Message]
    ) -> tuple[Frames, int]:
        tries = 0
        while True:
            sequence = await self._store(unit)
            if sequence:
                return unit, sequence
            tries += 1
            await pause(tries)
            unit = self.framed(conditions, messages)

    async def _store(self, unit: Frames) -> int:
        """Store one; 0: the server has too many batches at once."""
        return await self._acknowledged(
            self._asking.commit(unit.before, unit.subject, unit.body, unit.headers)
        )

    async def _acknowledged(self, answer: Awaitable[Answer]) -> int:
        """Give the sequence that an answer tells; 0: the server has too many batches at once."""
        try:
            return self._sequence(await answer)
        except JetStreamError as error:
            if error.err_code in OTHER_SEQUENCE:
                raise OvertakenError from error
            if error.err_code == DUPLICATE:
                raise OvertakenError(by_name=True) from error
            if error.err_code == NO_ANSWERER:
                raise ConnectionLostError("no stream takes it for now") from error
            if error.err_code in TEMPORARY or error.err_code == STORE_FAILED:
                message = f"the stream cannot take it for now: {error.description}"
                raise ConnectionLostError(message, maybe_applied=True) from error
            if error.err_code not in BUSY:
                raise
            return 0

    def _sequence(self, answer: Answer) -> int:
        ack = self._decoder.decode(answer.body)
        if ack.error is not None:
            raise JetStreamError.of(ack.error)
        if ack.duplicate:
            raise OvertakenError(by_name=True)
        return ack.seq

    def tell(self, message: Message) -> None:
        """Have one message stored if its condition holds; nobody hears of it."""
        subject, headers, body = self.framed({}, [message])[1:4]
        size = len(headers)
        line = f"HPUB {subject} {size} {size + len(body)}\r\n".encode()
        self._asking.tell(b"%s%s%s\r\n" % (line, headers, body))


async def pause(tries: int) -> None:
    """Wait a little, with chance, longer from try to try: others are at the same."""
    most = min(LONGEST_PAUSE, 0.001 * 2 ** min(tries, 10))
    await asyncio.sleep(random.uniform(0, most))  # noqa: S311  # spreads load, hides nothing
