"""Follows one path by a consumer of its own: the last message of each subject, then what comes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from secrets import token_hex
from typing import Any, Final

from asyncbackends.coordination.paths import ROOT
from asyncbackends.coordination.watching import ahead
from asyncbackends.coordination.wire import Followed, WatchSink
from asyncbackends.errors import CompactedError, ConnectionLostError
from asyncbackends.protocols.nodes import Node, NodeEvent, WatchScope
from asyncbackends_nats.dialing import Connection
from asyncbackends_nats.pulls import NANO
from asyncbackends_nats.requests import header_of, status_of
from asyncbackends_nats.tree.asking import Asking
from asyncbackends_nats.tree.backlog import AT_ONCE, Backlog, Frame
from asyncbackends_nats.tree.ends import Ends
from asyncbackends_nats.tree.reading import Reading
from asyncbackends_nats.tree.records import KEPT, MARK, SESSION, Record, parsed
from asyncbackends_nats.tree.seeing import Seen, events_since
from asyncbackends_nats.tree.sessions import Sessions
from asyncbackends_nats.tree.subjects import Subjects

__all__ = ("NatsFeed",)

HEARTBEAT: Final = 1.0
"""Seconds between the signs of life of a consumer that has nothing to say."""
SILENCE: Final = 3.0
"""Seconds without one, after which it is taken for dead, when nothing comes for another one."""
INACTIVE: Final = 10
"""Seconds after which the server forgets a consumer to which nobody listens."""
SLACK: Final = 20
"""Seconds that ends may be gone before their time."""
LAST: Final = b"Nats-Last-Consumer"
STALLED: Final = b"Nats-Consumer-Stalled"
"""Where a consumer is told to go on, in a sign of life."""
PLAIN: Final = 9
"""Words of the subject that says where a message stands; with a domain there are more."""


class NatsFeed:
    """Implements :class:`asyncbackends.coordination.wire.Feed`.

    :param left: hears that it was closed.
    """

    def __init__(
        self,
        connection: Connection,
        asking: Asking,
        reading: Reading,
        sessions: Sessions,
        subjects: Subjects,
        path: str,
        scope: WatchScope,
        sink: WatchSink,
        left: Callable[["NatsFeed"], None],
    ) -> None:
        self._connection = connection
        self._asking = asking
        self._reading = reading
        self._sessions = sessions
        self._subjects = subjects
        self._path = path
        self._scope: WatchScope = scope
        self._sink = sink
        self._left = left
        self._name = token_hex(8)
        self._sid = connection.next_subscription()
        self._inbox = f"{connection.requests.inbox}.f.{self._sid.decode()}"
        self._loop = asyncio.get_running_loop()
        self._seen = Seen(path, scope)
        self._first: list[tuple[Record, int]] = []
        """What came before it has begun, and when it was written."""
        self._caught_up: asyncio.Future[None] = self._loop.create_future()
        self._count = 0
        """Messages of the consumer."""
        self._heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._backlog = Backlog(self._read)
        self._ends = Ends(subjects, sessions, self._seen)
        self._is_live = False
        self._over = False

    async def begin(self, since: int | None, *, present: bool) -> Followed:
        filters = [*self._subjects.watched(self._path, self._scope), self._subjects.all_sessions]
        now = 0
        if since is not None:
            filters += [
                self._subjects.all_marks,
                *self._subjects.contests(self._path, self._scope),
            ]
            info = await self._reading.info()
            last, now = info["state"]["last_seq"], _nanoseconds(info["ts"])
            if since > last:
                raise ahead(since, last)
        await self._make_consumer(filters)
        await self._caught_up
        # Of what changed meanwhile there are two.
        first = [*{one.subject: (one, written) for one, written in self._first}.values()]
        self._first = []
        alive = {
            session_id
            for one, _ in first
            if one.sign == SESSION
            and (session_id := self._subjects.session_of(one.subject)) is not None
        }
        records = [one for one, _ in first if one.path and self._covers(one.path)]
        owners = {one.owner for one in records if one.owner is not None} - alive
        # Whoever is not among those that live has died; how, is asked for.
        ended = await self._reading.ended_or_not(owners)
        died = {
            owner: ended[owner].sequence if owner in ended else 0
            for owner in owners
            if owner not in ended or ended[owner].sign != SESSION
        }
        there = [one for one in records if one.is_node and one.owner not in died]
        dead = [one for one in records if one.is_node and one.owner in died]
        revision = max((one.sequence for one, _ in first), default=0)
        nodes: list[Node] = []
        async for some in _in_turns(there):
            self._sink.progress()
            self._seen.begin(some)
            if present:
                nodes += [one.node for one in some]
        # Those who die after this have a marker that is yet to come.
        self._seen.begin(one for one in dead if died[one.owner or ""] > revision)
        if self._over:
            raise _gone()
        late, self._first = self._first, []
        self._sessions.sweep(dead, ended)
        if since is not None:
            self._offer_since(since, now, first, records, died)
        self._is_live = True
        self._ends.begin([(one, written) for one, written in first if one.sign == SESSION])
        for record, _ in late:
            self._take(record)
        if since is not None:
            return Followed(since)
        return Followed(revision, nodes if present else None)

    def _offer_since(
        self,
        since: int,
        now: int,
        first: list[tuple[Record, int]],
        records: list[Record],
        died: dict[str, int],
    ) -> None:
        youngest = now - (KEPT - SLACK) * NANO
        marks = [
            (one.sequence, written)
            for one, written in first
            if one.sign == MARK and written >= youngest
        ]
        is_kept = any(sequence <= since for sequence, _ in marks)
        # Where contenders come and go their ends are not kept.
        is_kept &= not any(self._subjects.is_contest(one.subject) for one, _ in first)
        events = events_since(since, records, died, self._scope) if is_kept else None
        if events is None:
            oldest = min((sequence for sequence, _ in marks), default=since + 1)
            message = f"what came after revision {since} is not kept any more"
            raise CompactedError(message, oldest=oldest)
        self._offer(events)

    async def _make_consumer(self, filters: list[str]) -> None:
        self._connection.line.reader.receivers[self._sid] = self
        self._asking.tell(f"SUB {self._inbox} {self._sid.decode()}\r\n".encode())
        config: dict[str, Any] = {
            "name": self._name,
            "deliver_subject": self._inbox,
            "deliver_policy": "last_per_subject",
            "ack_policy": "none",
            "max_deliver": 1,
            "filter_subjects": filters,
            # A server hangs up on who has too much to read, and so it would again and again.
            "flow_control": True,
            "idle_heartbeat": int(HEARTBEAT * NANO),
            "inactive_threshold": INACTIVE * NANO,
            "mem_storage": True,
            "num_replicas": 1,
        }
        stream = self._subjects.stream
        question = {"stream_name": stream, "config": config, "action": "create"}
        made = await self._asking.api_again(f"CONSUMER.CREATE.{stream}.{self._name}", question)
        self._ends.now = _nanoseconds(made["ts"])
        self._heard = self._loop.time()
        self._timer = self._loop.call_later(SILENCE, self._look, False)
        if not made.get("num_pending") and not self._caught_up.done():
            self._caught_up.set_result(None)

    def _covers(self, path: str) -> bool:
        """Say whether it is not one of the long paths that somebody else watches."""
        if self._scope == "tree":
            return path == self._path or path.startswith(
                self._path if self._path == ROOT else f"{self._path}/"
            )
        return True

    def close(self) -> None:
        if self._over:
            return
        self._stop()
        stream = self._subjects.stream
        self._asking.tell(
            b"UNSUB %s\r\n" % self._sid
            + f"PUB $JS.API.CONSUMER.DELETE.{stream}.{self._name} 0\r\n\r\n".encode()
        )

    def link_lost(self) -> None:
        """Hear that the connection is over; the watch hears it from the core."""
        self._stop()

    def _stop(self) -> None:
        self._over = True
        self._connection.line.reader.receivers.pop(self._sid, None)
        self._left(self)
        if self._timer is not None:
            self._timer.cancel()
        self._backlog.close()
        self._ends.close()
        if not self._caught_up.done():
            self._caught_up.set_exception(_gone())
            # Nobody may be waiting for it.
            self._caught_up.exception()

    def _break(self) -> None:
        """Events may have been missed."""
        was_live = self._is_live
        self.close()
        if was_live:
            self._sink.broken()

    def _look(self, again: bool) -> None:
        """See whether the consumer lives; who was held up looks twice."""
        silent = self._loop.time() - self._heard
        if silent < SILENCE:
            self._timer = self._loop.call_later(SILENCE - silent, self._look, False)
        elif again:
            self._break()
        else:
            self._timer = self._loop.call_later(HEARTBEAT, self._look, True)

    # What the reader of frames calls.

    def frame(self, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        """See :class:`asyncbackends_nats.frames.Receiver`."""
        if not self._over:
            self._heard = self._loop.time()
            self._backlog.put((subject, reply, headers, body))

    def _read(self, frame: Frame) -> None:
        subject, reply, headers, body = frame
        status = status_of(headers)
        if status:
            self._control(status, reply, headers)
            return
        words = reply.split(b".")
        first = 5 if len(words) == PLAIN else 7
        sequence, count, written, pending = (int(one) for one in words[first : first + 4])
        if count != self._count + 1:
            self._break()
            return
        self._count = count
        name = subject.decode("utf-8", "replace")
        path = self._subjects.path_of(name, headers)
        record = parsed(name, path, sequence, headers, body)
        if self._is_live:
            self._take(record)
            return
        self._first.append((record, written))
        if count % AT_ONCE == 0:
            self._sink.progress()
        if not pending and not self._caught_up.done():
            self._caught_up.set_result(None)

    def turn_over(self) -> None:
        """See :class:`asyncbackends_nats.frames.Receiver`."""

    def _control(self, status: str, reply: bytes, headers: bytes) -> None:
        if status != "100":
            # The consumer was deleted, or its server went.
            self._break()
            return
        last, stalled = header_of(headers, LAST), header_of(headers, STALLED)
        if last and int(last) != self._count:
            self._break()
        elif go_on := reply or stalled:
            # All before it was taken in, so the server may send more.
            self._asking.tell(b"PUB %s 0\r\n\r\n" % go_on)
        elif not self._caught_up.done():
            # It is idle: what it counted as pending was taken away.
            self._caught_up.set_result(None)

    def _take(self, record: Record) -> None:
        session_id = self._subjects.session_of(record.subject)
        if session_id is not None:
            self._ends.take(session_id, record)
            if record.sign != SESSION:
                self._offer(self._seen.ended(session_id, record.sequence))
        elif record.path and self._covers(record.path):
            self._offer(self._seen.take(record))

    def _offer(self, events: list[NodeEvent]) -> None:
        for event in events:
            self._sink.offer(event)


async def _in_turns(records: list[Record]) -> AsyncIterator[list[Record]]:
    """Give a few in each turn of the loop: others wait for it, too."""
    for start in range(0, len(records), AT_ONCE):
        yield records[start : start + AT_ONCE]
        await asyncio.sleep(0)


def _gone() -> ConnectionLostError:
    return ConnectionLostError("the consumer of a watch is gone before it has begun")


def _nanoseconds(text: str) -> int:
    """Read a time as the server writes it, to the microsecond."""
    whole, _, rest = text.partition(".")
    seconds = datetime.fromisoformat(f"{whole.rstrip('Z')}+00:00").timestamp()
    return int(seconds) * NANO + int(rest.rstrip("Z")[:9].ljust(9, "0") or 0)
