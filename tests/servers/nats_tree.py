"""What tests see of a coordination service on NATS behind its clients' back, and do to it."""

import base64
from collections.abc import Iterator

from tests.servers.nats import Nats
from tests.servers.nats_faults import nats_token
from tests.servers.server import CommandFailedError

__all__ = ("NatsTree",)

ALIVE = b"\r\nAb: s "
NODE = b"\r\nAb: n "
ENDED = "Nats-Rollup: sub\r\nNats-TTL: 60s\r\nKV-Operation: PURGE\r\nAb: e\r\n"


class NatsTree:
    """The stream of one namespace. Everything blocks."""

    def __init__(self, server: Nats, namespace: str) -> None:
        self._server = server
        self.stream = f"ABC-{nats_token(namespace)}"
        self.prefix = f"abc.{nats_token(namespace)}"

    def sessions(self) -> set[str]:
        """Give the ids of the sessions that are not over."""
        found = self._subjects(f"{self.prefix}.s.*")
        return {one.rpartition(".")[2] for one in found if ALIVE in self._headers(one)}

    def nodes(self) -> set[str]:
        """Give the subjects that hold a node, also of a session that is over."""
        found = [*self._subjects(f"{self.prefix}.n.>"), *self._subjects(f"{self.prefix}.l.>")]
        return {one for one in found if NODE in self._headers(one)}

    def expire(self, session_id: str) -> None:
        """End a session, with all that belongs to it.

        :raises CommandFailedError: there is none.
        """
        subject = f"{self.prefix}.s.{nats_token(session_id)}"
        if ALIVE not in self._headers(subject):
            raise CommandFailedError(f"{self._server} does not know session {session_id}")
        self._server.ask(subject, headers=ENDED, patience=5)

    def _subjects(self, pattern: str) -> Iterator[str]:
        asked = {"subjects_filter": pattern}
        found = self._server.ask(f"$JS.API.STREAM.INFO.{self.stream}", asked, patience=5)
        return iter(found.get("state", {}).get("subjects") or {})

    def _headers(self, subject: str) -> bytes:
        asked = {"last_by_subj": subject}
        found = self._server.ask(f"$JS.API.STREAM.MSG.GET.{self.stream}", asked, patience=5)
        return base64.b64decode(found.get("message", {}).get("hdrs", ""))
