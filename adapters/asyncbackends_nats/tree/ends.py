"""Sees to it that the end of a session is told: the server removes its message without a word."""

import asyncio
from collections.abc import Iterable
from typing import Final

from asyncbackends_nats.pulls import NANO
from asyncbackends_nats.tree.records import SESSION, Record
from asyncbackends_nats.tree.seeing import Seen
from asyncbackends_nats.tree.sessions import Sessions
from asyncbackends_nats.tree.subjects import Subjects

__all__ = ("Ends",)

AGAIN: Final = 0.05
"""Seconds before the end of a session that is overdue is asked for again, at first."""
LONGEST: Final = 1.0


class Ends:
    """The sessions of the nodes that a watch has seen, and when each is over unless it is renewed.

    One that is overdue by our clock is told to have ended, on the condition that the server has
    removed it: the server's clock decides.
    """

    def __init__(self, subjects: Subjects, sessions: Sessions, seen: Seen) -> None:
        self.now = 0
        """The server's time, in nanoseconds, where it was asked for."""
        self._subjects = subjects
        self._sessions = sessions
        self._seen = seen
        self._loop = asyncio.get_running_loop()
        self._due: dict[str, float] = {}
        self._pauses: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def begin(self, records: Iterable[tuple[Record, int]]) -> None:
        """Take the sessions that are there, and when they were renewed."""
        for record, written in records:
            session_id = self._subjects.session_of(record.subject)
            if session_id is not None:
                age = max(0.0, (self.now - written) / NANO)
                self._due[session_id] = self._loop.time() + max(AGAIN, record.ttl - age + AGAIN)
        self._set_timer()

    def take(self, session_id: str, record: Record) -> None:
        """Hear of a renewal, or of an end."""
        self._pauses.pop(session_id, None)
        if record.sign != SESSION:
            self._due.pop(session_id, None)
            return
        self._due[session_id] = self._loop.time() + record.ttl
        if self._timer is None:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._closed or not self._due:
            self._timer = None
            return
        self._timer = self._loop.call_at(min(self._due.values()), self._look)

    def _look(self) -> None:
        now = self._loop.time()
        owned = self._seen.owned()
        for session_id in [one for one, due in self._due.items() if due <= now]:
            if session_id not in owned:
                del self._due[session_id]
                continue
            pause = self._pauses.get(session_id, AGAIN)
            self._pauses[session_id] = min(LONGEST, pause * 2)
            self._due[session_id] = now + pause
            self._sessions.tell_end(session_id)
        self._set_timer()

    def close(self) -> None:
        """Ask no more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
