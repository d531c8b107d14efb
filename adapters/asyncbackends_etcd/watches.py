"""The watches of one link: many of them on one stream, which the server tells apart by numbers."""

import asyncio
from collections import deque
from typing import Final, Protocol

from asyncbackends.errors import ConnectionLostError
from asyncbackends_etcd import requests
from asyncbackends_etcd.calls import Calls
from asyncbackends_etcd.grpc_channel import CallEnd
from asyncbackends_etcd.http2_stream import Http2Stream
from asyncbackends_etcd.protobuf import DecodeError
from asyncbackends_etcd.responses import Event, Watched, watched

__all__ = ("Listener", "Watch", "WatchRefusedError", "Watches")

MOST_FRAGMENTED: Final = 100_000
"""Events of one answer that comes in pieces."""


class WatchRefusedError(Exception):
    """The server does not let a range be followed."""


class Listener(Protocol):
    """Who follows a range."""

    def take(self, events: list[Event]) -> None:
        """Take all that one answer holds."""
        ...

    def miss(self) -> None:
        """Hear that events may be missed: nothing more comes."""
        ...


class Watch:
    """One range that is followed."""

    def __init__(self, listener: Listener, stream: "_WatchStream", token: str | None) -> None:
        self.listener = listener
        self.stream = stream
        self.token = token
        """Who asked the server for it."""
        self.id: int | None = None
        self.compacted = 0
        """The first revision that is kept, where the one that was asked for is not."""
        self.closed = False
        self.parts: list[Event] = []
        self.begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """The revision after which it tells, if it began now."""

    def close(self) -> None:
        """Hear nothing any more."""
        if not self.closed:
            self.closed = True
            if not self.begun.done():
                # Not a cancellation: that would be one of whoever waits for it.
                self.begun.set_exception(ConnectionLostError("the watch was closed meanwhile"))
            if not self.begun.cancelled():
                # Nobody may have waited for it.
                self.begun.exception()
            self.stream.forget(self)


class Watches:
    """Begins watches, on a stream that was opened by who we are now."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._streams: set[_WatchStream] = set()
        self._stream: _WatchStream | None = None

    async def renew(self, watch: Watch) -> None:
        """Log in again, unless that was done since a watch was asked for."""
        await self._calls.renew(watch.token)

    def open(self, listener: Listener, key: bytes, end: bytes, start: int) -> Watch:
        """Ask the server to follow a range.

        :raises ConnectionLostError: the connection is over.
        """
        request = requests.follow(key, end, start=start)
        token = self._calls.token
        stream = self._stream
        if stream is None or stream.is_over or stream.token != token:
            stream = _WatchStream(self._calls, self._streams)
            self._stream = stream
        watch = Watch(listener, stream, token)
        stream.begin(watch, request)
        return watch

    def close(self) -> None:
        """End all of them; nobody hears of it."""
        for stream in list(self._streams):
            stream.close()


class _WatchStream:
    """One stream, with the watches that were begun on it."""

    def __init__(self, calls: Calls, streams: "set[_WatchStream]") -> None:
        self._calls = calls
        self._streams = streams
        self._stream: Http2Stream | None = None
        self._begun: deque[Watch] = deque()
        """Those that the server has not confirmed yet, in the order in which it will."""
        self._watches: dict[int, Watch] = {}
        self.token = calls.token
        self.is_over = False

    def begin(self, watch: Watch, request: bytes) -> None:
        """Ask for a watch."""
        if self._stream is None:
            self._stream = self._calls.stream(requests.WATCH, request, self._heard, self._ended)
            self._streams.add(self)
        else:
            self._calls.send(self._stream, request)
        self._begun.append(watch)

    def forget(self, watch: Watch) -> None:
        """Let the server forget one; of one that it has not confirmed it is told when it has."""
        if watch.id is None or self._watches.pop(watch.id, None) is None or self.is_over:
            return
        if self._stream is not None:
            self._calls.send(self._stream, requests.forget(watch.id))
        if not self._watches and not self._begun and self.token != self._calls.token:
            self.close()

    def close(self) -> None:
        """End it."""
        self.is_over = True
        self._streams.discard(self)
        if self._stream is not None:
            self._calls.cancel(self._stream)

    def _heard(self, message: bytes) -> None:
        if self.is_over:
            return
        try:
            answer = watched(message)
        except DecodeError:
            self.close()
            self._miss_all()
            return
        if answer.created:
            self._confirmed(answer)
        elif answer.canceled:
            watch = self._watches.pop(answer.watch_id, None)
            if watch is not None:
                watch.compacted = answer.compact_revision
                watch.listener.miss()
        else:
            self._told(answer)

    def _confirmed(self, answer: Watched) -> None:
        if not self._begun:
            return
        watch = self._begun.popleft()
        if answer.canceled:
            if not watch.begun.done():
                watch.begun.set_exception(WatchRefusedError(answer.reason))
            return
        watch.id = answer.watch_id
        self._watches[watch.id] = watch
        if watch.closed:
            self.forget(watch)
        elif not watch.begun.done():
            watch.begun.set_result(answer.revision)

    def _told(self, answer: Watched) -> None:
        watch = self._watches.get(answer.watch_id)
        if watch is None:
            return
        if answer.fragment or watch.parts:
            watch.parts += answer.events
            if len(watch.parts) > MOST_FRAGMENTED:
                self.forget(watch)
                watch.listener.miss()
            if answer.fragment:
                return
            events, watch.parts = watch.parts, []
        else:
            events = answer.events
        watch.listener.take(events)

    def _ended(self, end: CallEnd) -> None:
        self.is_over = True
        self._streams.discard(self)
        for watch in self._begun:
            if not watch.begun.done():
                watch.begun.set_exception(end or WatchRefusedError("the stream was ended"))
        self._miss_all()

    def _miss_all(self) -> None:
        watches, self._watches = list(self._watches.values()), {}
        self._begun.clear()
        for watch in watches:
            watch.listener.miss()
