"""Questions and answers over one connection: one subscription for all, told apart by number."""

import asyncio
import json
from collections.abc import Callable, Mapping
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from asyncbackends.errors import (
    AccessDeniedError,
    BackendError,
    ConnectionLostError,
    OperationTimeoutError,
)
from asyncbackends_nats.driver_errors import (
    NO_ANSWERER,
    NO_STORE,
    TEMPORARY,
    JetStreamError,
    is_denial,
)

if TYPE_CHECKING:
    from asyncbackends_nats.dialing import Connection

__all__ = ("Reply", "Requests", "answer_of", "header_of", "status_of")

API: Final = "$JS.API."
PATIENCE: Final = 2.0
"""Seconds for an answer that nobody waits for in a call."""
PAUSE: Final = 0.1
"""Seconds before a question is asked again to which there was no leader to answer."""


class Reply(NamedTuple):
    """An answer, or why there is none."""

    status: str
    """Of an answer without content, as 503; empty otherwise."""
    body: bytes
    error: BackendError | None = None


class _Waiting(NamedTuple):
    subject: str
    answered: Callable[[Reply], None]
    timer: asyncio.TimerHandle


def status_of(headers: bytes) -> str:
    """Give the status that a header block begins with, empty where there is none."""
    return headers[9:12].decode("ascii", "replace") if headers[8:9] == b" " else ""


def header_of(headers: bytes, name: bytes) -> bytes | None:
    """Give the value of a header, as its server writes it."""
    start = headers.find(b"\r\n%s: " % name)
    if start < 0:
        return None
    start += len(name) + 4
    return headers[start : headers.index(b"\r\n", start)]


class Requests:
    """Who waits for which answer."""

    def __init__(self, connection: "Connection", prefix: str, seconds: float) -> None:
        self.inbox = f"{prefix}.{token_hex(11)}"
        """Every subject to which something comes begins so."""
        self.on_lost: Callable[[BackendError], None] | None = None
        self._line = connection.line
        self._seconds = seconds
        self._number = 0
        self._closed = False
        self._waiting: dict[bytes, _Waiting] = {}
        sid = connection.next_subscription()
        self._line.reader.receivers[sid] = self
        self._line.send(b"SUB %s.r.* %s\r\n" % (self.inbox.encode(), sid))

    def ask_for(
        self,
        subject: str,
        body: bytes,
        answered: Callable[[Reply], None],
        headers: bytes = b"",
        seconds: float = PATIENCE,
    ) -> bytes:
        """Ask, and have a function called with the answer; gives what :meth:`forget` takes.

        Without an answer in time it is called with an OperationTimeoutError.
        """
        self._number += 1
        number = str(self._number).encode()
        if self._line.lost is not None or self._closed:
            error = self._line.lost or ConnectionLostError("the connection was closed")
            answered(Reply("", b"", error))
            return number
        timer = asyncio.get_running_loop().call_later(seconds, self._too_late, number)
        self._waiting[number] = _Waiting(subject, answered, timer)
        reply = f"{self.inbox}.r.{self._number}"
        if headers:
            size = len(headers)
            first = f"HPUB {subject} {reply} {size} {size + len(body)}\r\n".encode()
        else:
            first = f"PUB {subject} {reply} {len(body)}\r\n".encode()
        self._line.send(b"%s%s%s\r\n" % (first, headers, body))
        return number

    def _too_late(self, number: bytes) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            name = waiting.subject.removeprefix(API)
            message = f"the server did not answer {name} in time"
            waiting.answered(Reply("", b"", OperationTimeoutError(message)))

    def later(self, call: Callable[[], None]) -> None:
        """Make a call after a pause, unless the connection is over by then."""
        asyncio.get_running_loop().call_later(
            PAUSE, lambda: None if self._line.lost is not None or self._closed else call()
        )

    def forget(self, number: bytes) -> None:
        """Wait no more."""
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            waiting.timer.cancel()

    async def ask(
        self, subject: str, body: bytes = b"", *, headers: bytes = b"", seconds: float | None = None
    ) -> Reply:
        """Ask and wait for the answer.

        :raises OperationTimeoutError: there is none in time.
        :raises ConnectionLostError: the connection is.
        """
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def answered(reply: Reply) -> None:
            if not answer.done():
                answer.set_result(reply)

        patience = self._seconds if seconds is None else seconds
        number = self.ask_for(subject, body, answered, headers, patience)
        try:
            reply = await answer
        finally:
            self.forget(number)
        if reply.error is not None:
            raise type(reply.error)(str(reply.error), maybe_applied=True) from reply.error
        return reply

    async def api(self, name: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask JetStream's API, again for as long as there is no leader to answer.

        :raises JetStreamError: what it answers in the place of a result.
        """
        body = json.dumps(arguments).encode() if arguments is not None else b""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        while True:
            left = end - loop.time()
            try:
                # A leader that dies takes the question along; all of them may be asked twice.
                return answer_of(await self.ask(API + name, body, seconds=min(left, PATIENCE)))
            except JetStreamError as error:
                is_new = self._seconds - left < PATIENCE
                is_over = error.err_code not in TEMPORARY
                if left < 2 * PAUSE or (is_over and not (error.err_code == NO_STORE and is_new)):
                    raise
            except OperationTimeoutError:
                if left <= PATIENCE:
                    raise
            await asyncio.sleep(PAUSE)

    def refused(self, text: str) -> bool:
        """Hear an -ERR that concerns one subject; say whether somebody asked there."""
        if not is_denial(text):
            return False
        for number, waiting in self._waiting.items():
            if f'"{waiting.subject}"' in text:
                self.forget(number)
                waiting.answered(Reply("", b"", AccessDeniedError(f"the account may not: {text}")))
                return True
        return False

    def lost(self, error: BackendError) -> None:
        """Tell all who wait, and the link."""
        self._fail(error)
        if self.on_lost is not None:
            self.on_lost(error)

    def close(self) -> None:
        """Let nobody wait any more."""
        self._closed = True
        self._fail(ConnectionLostError("the connection was closed"))

    def _fail(self, error: BackendError) -> None:
        all_waiting = [*self._waiting.values()]
        self._waiting.clear()
        for waiting in all_waiting:
            waiting.timer.cancel()
        for waiting in all_waiting:
            waiting.answered(Reply("", b"", error))

    # What the reader of frames calls.

    def frame(self, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        """See :class:`asyncbackends_nats.frames.Receiver`."""
        waiting = self._waiting.pop(subject.rpartition(b".")[2], None)
        if waiting is not None:
            waiting.timer.cancel()
            waiting.answered(Reply(status_of(headers), body))

    def turn_over(self) -> None:
        """See :class:`asyncbackends_nats.frames.Receiver`."""


def answer_of(reply: Reply) -> dict[str, Any]:
    """Give an answer of JetStream's API.

    :raises JetStreamError: it is an error.
    """
    if reply.status == "503":
        raise JetStreamError(503, NO_ANSWERER, "nobody answers for JetStream")
    answer: dict[str, Any] = json.loads(reply.body)
    if "error" in answer:
        raise JetStreamError.of(answer["error"])
    return answer
