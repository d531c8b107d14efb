"""Faults between clients of a tree on NATS and a real server: what the kit asks of SessionFaults."""

from tests.servers.fault_links import Link
from tests.servers.fault_proxy import FaultProxy
from tests.servers.nats import Nats
from tests.servers.nats_link import LINE, NatsLink
from tests.servers.nats_tree import NatsTree

__all__ = ("NatsSessionFaults",)

NODES = ("n", "g", "l")
"""What events are about."""


class NatsSessionFaults(FaultProxy):
    """``with NatsSessionFaults(server, namespace) as faults``: clients use ``faults.endpoint``."""

    def __init__(self, server: Nats, namespace: str) -> None:
        super().__init__(server.endpoint, None)
        self.tree = NatsTree(server, namespace)
        self.stream_prefix = self.tree.stream
        self.frozen = False
        self.replies_to_lose = 0
        self.events_to_lose = 0

    def expire_session(self, session_id: str) -> None:
        """Let the service forget a session."""
        self.tree.expire(session_id)

    def freeze_renewals(self) -> None:
        """Let what is written to sessions be lost."""
        self.call(lambda: setattr(self, "frozen", True))

    def thaw_renewals(self) -> None:
        """Let it pass again."""
        self.call(lambda: setattr(self, "frozen", False))

    def lose_reply(self, operation: str) -> None:
        """Let the next write be stored, and its answer and link be lost."""
        self.call(lambda: setattr(self, "replies_to_lose", 1))

    def drop_events(self, count: int) -> None:
        """Lose so many of the next messages about nodes on their way to the watches."""
        self.call(lambda: setattr(self, "events_to_lose", count))

    def clear(self) -> None:
        """End all faults."""

        def clear() -> None:
            self.frozen = False
            self.replies_to_lose = self.events_to_lose = 0

        self.call(clear)
        super().clear()

    async def remove_what_is_not_durable(self) -> None:
        """Do nothing: the tree is durable."""

    def make_link(self) -> Link:
        """Make one for a client that has just come."""
        return _TreeLink(self)


class _TreeLink(NatsLink):
    """A connection of a client of the tree."""

    def __init__(self, proxy: NatsSessionFaults) -> None:
        super().__init__(proxy)  # type: ignore[arg-type]  # of that proxy it uses stream_prefix
        self._faults = proxy
        self._writes: set[bytes] = set()
        """The inboxes of writes without an answer."""

    def _kind(self, subject: bytes) -> str:
        """Say what a subject holds, empty for what is none of the tree's."""
        start = f"{self._faults.tree.prefix}.".encode()
        if not subject.startswith(start):
            return ""
        return subject[len(start) :].partition(b".")[0].decode()

    def from_client(self, buffer: bytearray) -> int:
        end = buffer.find(LINE)
        if end < 0:
            return 0
        words = bytes(buffer[:end]).split()
        if not words or words[0] not in {b"PUB", b"HPUB"}:
            return super().from_client(buffer)
        length = end + len(LINE) + int(words[-1]) + len(LINE)
        if len(buffer) < length:
            return 0
        kind = self._kind(words[1])
        if kind == "s" and self._faults.frozen:
            return length
        has_inbox = len(words) == (5 if words[0] == b"HPUB" else 4)
        if has_inbox and kind not in {"", "s", "t"} and self._faults.replies_to_lose:
            self._writes.add(words[2])
        self.server.write(bytes(buffer[:length]))
        return length

    def from_server(self, buffer: bytearray) -> int:
        end = buffer.find(LINE)
        if end < 0:
            return 0
        words = bytes(buffer[:end]).split()
        if not words or words[0] not in {b"MSG", b"HMSG"}:
            return super().from_server(buffer)
        length = end + len(LINE) + int(words[-1]) + len(LINE)
        if len(buffer) < length:
            return 0
        faults = self._faults
        if words[1] in self._writes:
            self._writes.discard(words[1])
            # A refusal is no reply to something that was applied.
            if faults.replies_to_lose and b'"error"' not in buffer[end:length]:
                faults.replies_to_lose -= 1
                self.cut()
                return 0
        if self._kind(words[1]) in NODES and faults.events_to_lose:
            faults.events_to_lose -= 1
            return length
        self.client.write(bytes(buffer[:length]))
        return length
