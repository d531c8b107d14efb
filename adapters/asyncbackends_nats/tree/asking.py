"""Questions to JetStream and messages to the stream, over one connection.

Unlike :class:`asyncbackends_nats.requests.Requests` it knows answers of many parts, reads the
headers of answers, and has no timer for each: the core bounds its calls. What is written in one
turn of the loop leaves in one piece.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from asyncbackends.errors import AccessDeniedError, BackendError, ConnectionLostError
from asyncbackends_nats.dialing import Connection
from asyncbackends_nats.driver_errors import NO_ANSWERER, JetStreamError, is_denial
from asyncbackends_nats.requests import status_of

__all__ = ("Answer", "Asking", "again")

ResultT = TypeVar("ResultT")

API: Final = "$JS.API."
AGAIN: Final = 1.0
"""Seconds before a question is asked again, at first."""
PATIENCE: Final = 1.0
"""Seconds for the answer to a write that was cancelled; a leader that dies takes it along."""


async def again(ask: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """Ask, and again where there is no answer; the core bounds it.

    While servers choose a leader none of them answers, nor does that leader: what was asked
    meanwhile is lost.
    """
    patience = AGAIN
    while True:
        waited = asyncio.timeout(patience)
        try:
            async with waited:
                return await ask()
        except TimeoutError:
            if not waited.expired():
                raise
        patience *= 2


class Answer(NamedTuple):
    """One message that answers."""

    headers: bytes
    body: bytes

    @property
    def status(self) -> str:
        """The status of an answer without content, as 503; empty otherwise."""
        return status_of(self.headers)


class _Waiting:
    __slots__ = ("future", "parts", "subject", "writes")

    def __init__(self, subject: str, many: bool, writes: bool) -> None:
        self.subject = subject
        self.writes = writes
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.parts: list[Answer] | None = [] if many else None


class Asking:
    """Who waits for which answer."""

    def __init__(self, connection: Connection) -> None:
        self._line = connection.line
        self._inbox = f"{connection.requests.inbox}.t."
        self._number = 0
        self._waiting: dict[int, _Waiting] = {}
        self._unsent: list[bytes] = []
        self._kept: list[_Waiting] = []
        """Whose frames have not left yet."""
        self._strays: dict[int, _Waiting] = {}
        self._writable = asyncio.Event()
        self._closed = False
        self._others = connection.refused
        self._loop = asyncio.get_running_loop()
        self._line.on_writable = self._writable.set
        self._line.on_refusal = self.refused
        sid = connection.next_subscription()
        self._line.reader.receivers[sid] = self
        self._line.send(f"SUB {self._inbox}* {sid.decode()}\r\n".encode())

    @property
    def is_over(self) -> bool:
        """Whether nothing will be answered any more."""
        return self._closed or self._line.lost is not None

    async def ask(self, subject: str, body: bytes = b"", headers: bytes = b"") -> Answer:
        """Ask and wait for the answer.

        :raises ConnectionLostError: the connection is.
        :raises JetStreamError: nobody is there to answer.
        """
        answer: Answer = await self._asked(subject, body, headers, b"", many=False)
        if answer.headers[9:12] == b"503":
            raise JetStreamError(503, NO_ANSWERER, "nobody answers for JetStream")
        return answer

    async def commit(self, before: bytes, subject: str, body: bytes, headers: bytes) -> Answer:
        """Write; the messages before the last one are frames that have no answer.

        :raises ConnectionLostError: ``maybe_applied`` says whether it may have been sent.
        :raises JetStreamError: nobody is there to take it.
        """
        answer: Answer = await self._asked(subject, body, headers, before, many=False, writes=True)
        if answer.headers[9:12] == b"503":
            raise JetStreamError(503, NO_ANSWERER, "nobody answers for JetStream")
        return answer

    async def ask_many(self, subject: str, body: bytes) -> list[Answer]:
        """Ask for an answer of many parts; the last one has a status."""
        parts: list[Answer] = await self._asked(subject, body, b"", b"", many=True)
        if parts[-1].status == "503":
            raise JetStreamError(503, NO_ANSWERER, "nobody answers for JetStream")
        return parts

    async def api(self, name: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask JetStream's API.

        :raises JetStreamError: what it answers in the place of a result.
        """
        body = b"" if arguments is None else json.dumps(arguments).encode()
        answer: dict[str, Any] = json.loads((await self.ask(API + name, body)).body)
        if "error" in answer:
            raise JetStreamError.of(answer["error"])
        return answer

    async def api_again(
        self, name: str, arguments: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Ask JetStream's API what does not change by being asked twice."""
        return await again(lambda: self.api(name, arguments))

    def tell(self, data: bytes) -> None:
        """Write frames that have no answer."""
        if not self.is_over:
            self._write(data)

    async def _asked(
        self,
        subject: str,
        body: bytes,
        headers: bytes,
        before: bytes,
        *,
        many: bool,
        writes: bool = False,
    ) -> Any:
        while not self._line.writable and not self.is_over:
            self._writable.clear()
            await self._writable.wait()
        if self._strays:
            await self._settled()
        if self.is_over:
            raise self._over(maybe_applied=False)
        self._number = number = self._number + 1
        waiting = self._waiting[number] = _Waiting(subject, many, writes)
        if headers:
            size = len(headers)
            line = f"HPUB {subject} {self._inbox}{number} {size} {size + len(body)}\r\n"
        else:
            line = f"PUB {subject} {self._inbox}{number} {len(body)}\r\n"
        self._write(b"%s%s%s%s\r\n" % (before, line.encode(), headers, body))
        self._kept.append(waiting)
        try:
            return await waiting.future
        finally:
            if writes and waiting.future.cancelled():
                self._stray(number, waiting)
            else:
                self._waiting.pop(number, None)

    def _stray(self, number: int, waiting: _Waiting) -> None:
        """Let a write be answered whose caller was cancelled: what is read until then is older."""
        waiting.future = self._loop.create_future()
        # Whatever the answer is, nobody waits for it.
        waiting.future.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._strays[number] = waiting

    async def _settled(self) -> None:
        strays = dict(self._strays)
        await asyncio.wait([one.future for one in strays.values()], timeout=PATIENCE)
        for number in strays:
            self._strays.pop(number, None)
            self._waiting.pop(number, None)

    def _write(self, data: bytes) -> None:
        if not self._unsent:
            self._loop.call_soon(self.flush)
        self._unsent.append(data)

    def flush(self) -> None:
        """Let what was written leave now."""
        data = b"".join(self._unsent)
        self._unsent.clear()
        kept, self._kept = self._kept, []
        if self.is_over or not data:
            return
        transport = self._line.transport
        had_left = transport.get_write_buffer_size() == 0
        self._line.send(data)
        if had_left and transport.is_closing():
            # The socket was dead already: surely nothing of it was sent.
            for waiting in kept:
                waiting.writes = False

    def _over(self, *, maybe_applied: bool) -> ConnectionLostError:
        lost = self._line.lost
        words = "the connection was closed" if lost is None else str(lost)
        error = ConnectionLostError(words, maybe_applied=maybe_applied)
        error.__cause__ = lost
        return error

    def refused(self, text: str) -> None:
        """Hear an -ERR: it is about one subject, or the end."""
        if is_denial(text):
            for waiting in self._waiting.values():
                if f'"{waiting.subject}"' in text and not waiting.future.done():
                    waiting.future.set_exception(AccessDeniedError(f"the account may not: {text}"))
                    return
        self._others(text)

    def lost(self, error: BackendError | None = None) -> None:
        """Let nobody wait any more."""
        self._closed = True
        all_waiting = [*self._waiting.values()]
        self._waiting.clear()
        self._writable.set()
        for waiting in self._kept:
            waiting.writes = False
        for waiting in all_waiting:
            if not waiting.future.done():
                waiting.future.set_exception(self._over(maybe_applied=waiting.writes))

    # What the reader of frames calls.

    def frame(self, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        """See :class:`asyncbackends_nats.frames.Receiver`."""
        waiting = self._waiting.get(int(subject[len(self._inbox) :]))
        if waiting is None or waiting.future.done():
            return
        answer = Answer(headers, body)
        if waiting.parts is None:
            waiting.future.set_result(answer)
            return
        waiting.parts.append(answer)
        if headers[8:9] == b" ":
            waiting.future.set_result(waiting.parts)

    def turn_over(self) -> None:
        """See :class:`asyncbackends_nats.frames.Receiver`."""
