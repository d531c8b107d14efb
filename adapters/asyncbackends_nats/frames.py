"""NATS frames as they come, each handed to whoever has its subscription.

nats-py's own parser costs a regular expression per frame, a task per subscription and a queue
between them; nothing of that is needed where a message is only handed on.
"""

from collections.abc import Callable
from typing import Final, Protocol

__all__ = ("FrameReader", "Frames", "LostStepError", "Receiver")

END: Final = b"\r\n"
LONGEST_LINE: Final = 1024 * 1024


class LostStepError(Exception):
    """What came is not the protocol."""


class Receiver(Protocol):
    """Who has a subscription."""

    def frame(self, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        """Take a message; headers are empty where there are none."""
        ...

    def turn_over(self) -> None:
        """Know that whatever came at once was handed over."""
        ...


class Frames(Protocol):
    """Who hears what is no message."""

    def control(self, line: bytes) -> None:
        """Hear a line that is no message, without its end."""
        ...


class FrameReader:
    """Cuts what comes into frames."""

    def __init__(self, others: Frames) -> None:
        self.receivers: dict[bytes, Receiver] = {}
        """By the number of the subscription."""
        self._others = others
        self._rest: list[bytes] = []
        self._held = 0
        self._needed = 0
        """So many bytes at least must be there before it is worth another look."""
        self._stopped = False

    def stop(self) -> None:
        """Hand on nothing any more."""
        self._stopped = True
        self.receivers.clear()
        self._rest.clear()

    def feed(self, data: bytes) -> None:
        """Take what came.

        :raises LostStepError: it is not the protocol.
        """
        if self._rest:
            self._rest.append(data)
            self._held += len(data)
            if self._held < self._needed:
                return
            data = b"".join(self._rest)
            self._rest.clear()
        touched: dict[Receiver, None] = {}
        try:
            position = self._read(data, touched)
        finally:
            self._tell(touched)
        if position < len(data) and not self._stopped:
            self._rest.append(data[position:])
            self._held = len(data) - position

    def _read(self, data: bytes, touched: dict[Receiver, None]) -> int:
        receivers, find, length = self.receivers, data.find, len(data)
        position = 0
        while not self._stopped:
            end = find(END, position)
            if end < 0:
                if length - position > LONGEST_LINE:
                    raise LostStepError("a line without an end")
                self._needed = 0
                return position
            words = data[position:end].split()
            kind = words[0] if words else b""
            start = end + 2
            if kind == b"HMSG":
                after = start + int(words[-1])
                if not start <= after <= length - 2:
                    if after < start:
                        raise LostStepError("a message of a length that cannot be")
                    self._needed = after + 2 - position
                    return position
                receiver = receivers.get(words[2])
                if receiver is not None:
                    body = start + int(words[-2])
                    if not start <= body <= after:
                        raise LostStepError("headers of a length that cannot be")
                    reply = words[3] if len(words) == 6 else b""
                    receiver.frame(words[1], reply, data[start:body], data[body:after])
                    touched[receiver] = None
                position = after + 2
            elif kind == b"MSG":
                after = start + int(words[-1])
                if not start <= after <= length - 2:
                    if after < start:
                        raise LostStepError("a message of a length that cannot be")
                    self._needed = after + 2 - position
                    return position
                receiver = receivers.get(words[2])
                if receiver is not None:
                    reply = words[3] if len(words) == 5 else b""
                    receiver.frame(words[1], reply, b"", data[start:after])
                    touched[receiver] = None
                position = after + 2
            else:
                # What it leads to may depend on what came before it.
                self._tell(touched)
                self._others.control(data[position:end])
                position = start
        return length

    @staticmethod
    def _tell(touched: dict[Receiver, None]) -> None:
        receivers: list[Callable[[], None]] = [receiver.turn_over for receiver in touched]
        touched.clear()
        for turn_over in receivers:
            turn_over()
