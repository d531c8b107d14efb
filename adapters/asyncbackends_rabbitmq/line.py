"""One connection after its login: frames in and out, and whether the broker is still there.

The driver reads each frame in three steps through a task and a queue and writes each by itself;
here a whole read is taken apart at once, and what is written together is one write.
"""

import asyncio
from collections.abc import Callable
from struct import Struct
from typing import Any, Final, Protocol

import pamqp.frame
from pamqp import commands
from pamqp.exceptions import PAMQPException

from asyncbackends.errors import BackendError, ResourceExhaustedError
from asyncbackends_rabbitmq.channels import Channel, Traffic
from asyncbackends_rabbitmq.driver_errors import ChannelClosedError, lost
from asyncbackends_rabbitmq.frames import END, FRAME, METHOD, OVERHEAD
from asyncbackends_rabbitmq.pulse import Pulse

__all__ = ("Deaf", "Line", "LineEvents")

BUFFER: Final = 256 * 1024
"""So many bytes that the system does not take yet; with more, nothing is published."""
CLOSING: Final = 0.4
"""Seconds for the broker's answer to the end of a connection."""
_METHOD: Final = Struct(">I")


class LineEvents(Protocol):
    """What a line tells its link."""

    def broken(self, error: BackendError) -> None:
        """It is gone."""
        ...

    def refused(self, error: ChannelClosedError) -> None:
        """The broker ended the connection, and says why."""
        ...

    def blocked(self, reason: str | None) -> None:
        """The broker takes no messages, or takes them again."""
        ...

    def room(self) -> None:
        """There is room in the buffer again."""
        ...


class Deaf:
    """Hears nothing of a line, which its user sees by itself."""

    def broken(self, error: BackendError) -> None:
        pass

    def refused(self, error: ChannelClosedError) -> None:
        pass

    def blocked(self, reason: str | None) -> None:
        pass

    def room(self) -> None:
        pass


class Line(asyncio.Protocol):
    """Frames to and from the channels of one connection.

    It is made in the login, during which ``before`` gets all that is read.
    """

    def __init__(self, before: "Callable[[bytes | None], None]") -> None:
        self._before: Callable[[bytes | None], None] | None = before
        self._events: LineEvents | None = None
        self._loop = asyncio.get_running_loop()
        self.transport: Any = None
        self.frame_max = 0
        self.error: BackendError | None = None
        """Why it is gone, once it is."""
        self.cause: Exception | None = None
        """What the transport said of it."""
        self.is_blocked = False
        self.has_room = True
        self._rest = b""
        self._channels: dict[int, Channel] = {}
        self._channel_max = 0
        self._pulse: Pulse | None = None
        self._closed = self._loop.create_future()
        """Done when the broker agreed to the end, or the transport has ended."""
        self._ended = self._loop.create_future()
        """Done when the transport has ended."""

    # The transport calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.set_write_buffer_limits(high=BUFFER)

    def data_received(self, data: bytes) -> None:
        if self._before is not None:
            self._before(data)
            return
        if self._pulse is not None:
            self._pulse.heard()
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        unpack, channels = FRAME.unpack_from, self._channels
        touched: dict[Traffic, None] = {}
        while size - at >= OVERHEAD:
            kind, number, length = unpack(data, at)
            if length > self.frame_max:
                self.lose(lost("the broker sent a larger frame than was agreed on"))
                return
            end = at + 7 + length
            if end >= size:
                break
            if data[end] != 0xCE:
                self.lose(lost("the broker sent what is no frame"))
                return
            payload = data[at + 7 : end]
            at = end + 1
            channel = channels.get(number)
            if channel is not None:
                if channel.take(kind, payload):
                    touched[channel.traffic] = None
            elif number == 0 and kind == METHOD:
                self._take(payload)
            if self.error is not None:
                return
        self._rest = data[at:]
        for traffic in touched:
            traffic.pause()

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._before is not None:
            self._before(None)
        for done in (self._closed, self._ended):
            if not done.done():
                done.set_result(None)
        self.cause = exc
        reason = "the broker closed it" if exc is None else f"{type(exc).__name__}: {exc}"
        self.lose(lost(reason))

    def pause_writing(self) -> None:
        self.has_room = False

    def resume_writing(self) -> None:
        self.has_room = True
        if self._events is not None and self.error is None:
            self._events.room()

    # Its life.

    def begin(
        self,
        events: LineEvents,
        tune: commands.Connection.Tune,
        pulse: Pulse,
        read: bytes,
    ) -> None:
        """Take over from the login.

        :param read: what came after the login's last frame.
        """
        self._events = events
        self.frame_max = tune.frame_max or 131_072
        self._channel_max = tune.channel_max or 65_535
        self._before = None
        self._pulse = pulse
        pulse.begin()
        if self.transport.is_closing():
            self._loop.call_soon(self.lose, lost("the broker closed it"))
        elif read:
            self._loop.call_soon(self.data_received, read)

    def check(self) -> None:
        """Raise what it was lost by, if it was.

        :raises BackendError: it is gone.
        """
        if self.error is not None:
            raise self.error.with_traceback(None)

    def lose(self, error: BackendError) -> None:
        """Be gone, and let all that is on it fail."""
        if self.error is not None:
            return
        events = self._end(error)
        if events is not None:
            events.broken(error)

    def _end(self, error: BackendError) -> LineEvents | None:
        self.error = error
        events, self._events = self._events, None
        if self._pulse is not None:
            self._pulse.stop()
        for channel in tuple(self._channels.values()):
            channel.fail(error)
        self._channels.clear()
        self._rest = b""
        if self.transport is not None:
            self.transport.abort()
        return events

    async def close(self) -> None:
        """End it; with the broker's agreement, if that comes soon."""
        self._events = None
        try:
            if self.error is None and not self.is_blocked:
                self.write(0, commands.Connection.Close(200, "closed by its owner", 0, 0))
                await asyncio.wait((self._closed,), timeout=CLOSING)
        finally:
            if self.error is None:
                self._end(lost("it was closed"))
        # By then its socket is closed.
        await asyncio.wait((self._ended,), timeout=CLOSING)

    # What its link and its channels use.

    def write(self, number: int, *frames: Any) -> None:
        """Write rare frames, together."""
        if self.error is None:
            self.transport.write(b"".join(pamqp.frame.marshal(one, number) for one in frames))

    def write_packed(self, data: bytes) -> None:
        """Write frames that were packed by hand."""
        if self.error is None:
            self.transport.write(data)

    def new_channel(self, traffic: Traffic) -> Channel:
        """Give a channel that is not open yet.

        :raises BackendError: the line is gone, or has no room for another one.
        """
        self.check()
        number = 1
        while number in self._channels:
            number += 1
        if number > self._channel_max:
            message = f"a connection to the broker has at most {self._channel_max} channels"
            raise ResourceExhaustedError(message)
        channel = Channel(self, number, traffic)
        self._channels[number] = channel
        return channel

    def forget(self, number: int) -> None:
        """Let a channel's number be free."""
        self._channels.pop(number, None)

    def _take(self, payload: bytes) -> None:
        """Take a method of the connection itself."""
        try:
            frame: Any = pamqp.frame.unmarshal(FRAME.pack(METHOD, 0, len(payload)) + payload + END)[
                2
            ]
        except PAMQPException:
            return
        if isinstance(frame, commands.Connection.Close):
            self.write(0, commands.Connection.CloseOk())
            self._refuse(frame)
        elif isinstance(frame, commands.Connection.CloseOk):
            if not self._closed.done():
                self._closed.set_result(None)
        elif isinstance(frame, commands.Connection.Blocked):
            self.is_blocked = True
            if self._events is not None:
                self._events.blocked(frame.reason or "the broker takes no messages")
        elif isinstance(frame, commands.Connection.Unblocked):
            self.is_blocked = False
            if self._events is not None:
                self._events.blocked(None)

    def _refuse(self, frame: commands.Connection.Close) -> None:
        cause = ChannelClosedError.told_by(frame)
        events = self._end(lost(f"the broker ended it: {cause}"))
        if events is not None:
            events.refused(cause)
