"""One channel: questions with an answer each, and the frames of messages.

A question that nobody waits for any more is answered all the same, so the channel stays in step.
"""

import asyncio
from collections import deque
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, Protocol

import pamqp.frame
from pamqp import commands
from pamqp.exceptions import PAMQPException

from asyncbackends.errors import BackendError, ConnectionLostError
from asyncbackends_rabbitmq.contents import body_size
from asyncbackends_rabbitmq.driver_errors import ChannelClosedError, lost
from asyncbackends_rabbitmq.frames import BODY, END, FRAME, HEADER, METHOD

if TYPE_CHECKING:
    from asyncbackends_rabbitmq.line import Line

__all__ = ("DELIVERED", "RETURNED", "Channel", "Silent", "Traffic")

DELIVERED: Final = b"\x00\x3c\x00\x3c"
RETURNED: Final = b"\x00\x3c\x00\x32"
ACKED: Final = b"\x00\x3c\x00\x50"
NACKED: Final = b"\x00\x3c\x00\x78"
_ANSWER: Final = Struct(">QB")


class Traffic(Protocol):
    """What a channel tells its owner, beside the answers to questions."""

    def message(self, method: bytes, header: bytes, body: bytes) -> None:
        """A message came whole."""
        ...

    def confirmed(self, number: int, stored: bool, up_to: bool) -> None:
        """A message was answered, or all to that one."""
        ...

    def pause(self) -> None:
        """What came in one read was told."""
        ...

    def cancelled(self) -> None:
        """The broker ended the consumer of the channel."""
        ...

    def closed(self, error: ChannelClosedError) -> None:
        """The broker closed the channel."""
        ...


class Silent:
    """The traffic of a channel for questions alone."""

    def message(self, method: bytes, header: bytes, body: bytes) -> None:
        pass

    def confirmed(self, number: int, stored: bool, up_to: bool) -> None:
        pass

    def pause(self) -> None:
        pass

    def cancelled(self) -> None:
        pass

    def closed(self, error: ChannelClosedError) -> None:
        pass


class Channel:
    """A channel of a line; the line gives it its number."""

    def __init__(self, line: "Line", number: int, traffic: Traffic) -> None:
        self.number = number
        self.traffic = traffic
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it is gone, and what was on it is back in its queue."""
        self._line = line
        self._asked: deque[asyncio.Future[Any]] = deque()
        self._error: Exception | None = None
        self._opened = False
        self._closing = False
        self._method = self._header = b""
        self._missing = 0
        self._parts: list[bytes] = []

    @property
    def is_open(self) -> bool:
        """Whether it can be used."""
        return self._error is None and not self._closing

    @property
    def is_idle(self) -> bool:
        """Whether it can be used, and every question on it has its answer."""
        return self.is_open and not self._asked

    async def ask(self, *questions: Any) -> Any:
        """Ask, all together, and give the answer to the last; the first opens the channel.

        :raises ChannelClosedError: the broker refused one, and closed the channel.
        :raises BackendError: the line is gone.
        """
        if not self.is_open:
            raise self._failure(sent=False)
        answer = self.post(*questions)
        # Waited for, not awaited: an end of the future is then never taken for a cancellation.
        await asyncio.wait((answer,))
        if answer.exception() is not None:
            raise self._failure(sent=True)
        return answer.result()

    def post(self, *questions: Any) -> asyncio.Future[Any]:
        """Ask on an open channel, and give the answer to the last when it comes."""
        if not self._opened:
            self._opened = True
            questions = (commands.Channel.Open(), *questions)
        create = asyncio.get_running_loop().create_future
        answers: list[asyncio.Future[Any]] = [create() for _ in questions]
        self._asked.extend(answers)
        self._line.write(self.number, *questions)
        return answers[-1]

    def _failure(self, *, sent: bool) -> Exception:
        """Give an error of its own for each who waits, since whoever raises it writes on it."""
        error = self._error or lost("its channel was closed")
        if isinstance(error, BackendError):
            return ConnectionLostError(str(error), maybe_applied=sent)
        assert isinstance(error, ChannelClosedError)  # noqa: S101  # there is no third
        return ChannelClosedError(error.code, error.text)

    def close(self) -> None:
        """End it without waiting; its number is free when the broker agrees."""
        if self.is_open:
            self._closing = True
            self._let_go(lost("its channel was closed"))
            if self._opened:
                self._line.write(self.number, commands.Channel.Close(200, "", 0, 0))
            else:
                self._forget()

    def fail(self, error: Exception) -> None:
        """Be gone with the line, or by the broker's will."""
        if self._error is None:
            self._error = error
            self._let_go(error)
            self._end()

    def write(self, *frames: Any) -> None:
        """Write rare frames that nothing answers, or that the owner hears the answer to."""
        self._line.write(self.number, *frames)

    def write_packed(self, data: bytes) -> None:
        """Write frames that were packed by hand."""
        self._line.write_packed(data)

    def _forget(self) -> None:
        self._line.forget(self.number)
        self._end()

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def _let_go(self, error: Exception) -> None:
        while self._asked:
            waiting = self._asked.popleft()
            if not waiting.done():
                waiting.set_exception(error)
                # It may be that nobody waits any more.
                waiting.exception()

    # What the line calls.

    def take(self, kind: int, payload: bytes) -> bool:
        """Take a frame; True if the owner has to hear that the read is over."""
        if kind == BODY:
            self._parts.append(payload)
            self._missing -= len(payload)
            return self._complete()
        if kind == HEADER:
            self._header = payload
            self._missing = body_size(payload)
            return self._complete()
        if kind != METHOD:
            return False
        name = payload[:4]
        if name in (DELIVERED, RETURNED):
            self._method = payload
            return False
        if self._closing:
            self._take_end(name)
            return False
        if name in (ACKED, NACKED):
            number, bits = _ANSWER.unpack_from(payload, 4)
            self.traffic.confirmed(number, name == ACKED, bool(bits & 1))
            return False
        return self._take_rare(payload)

    def _complete(self) -> bool:
        if self._missing > 0:
            return False
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = []
        if not self._closing:
            self.traffic.message(self._method, self._header, body)
        return True

    def _take_end(self, name: bytes) -> None:
        if name == b"\x00\x14\x00\x29":  # channel.close-ok
            self._forget()
        elif name == b"\x00\x14\x00\x28":
            # Both ended it at once: the broker still answers ours.
            self._line.write(self.number, commands.Channel.CloseOk())

    def _take_rare(self, payload: bytes) -> bool:
        data = FRAME.pack(METHOD, self.number, len(payload)) + payload + END
        try:
            frame: Any = pamqp.frame.unmarshal(data)[2]
        except PAMQPException as error:
            self._line.lose(lost(f"the broker sent what nobody knows: {error}"))
            return False
        if isinstance(frame, commands.Channel.Close):
            self._line.write(self.number, commands.Channel.CloseOk())
            self._line.forget(self.number)
            cause = ChannelClosedError.told_by(frame)
            self.fail(cause)
            self.traffic.closed(cause)
        elif isinstance(frame, commands.Basic.Cancel):
            self.traffic.cancelled()
        elif self._asked:
            waiting = self._asked.popleft()
            if not waiting.done():
                waiting.set_result(frame)
        return False
