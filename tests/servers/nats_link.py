"""One NATS link through the proxy: what it forwards, answers itself, holds back and loses."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

from tests.servers.fault_links import Kind, Link

if TYPE_CHECKING:
    from tests.servers.nats_faults import NatsFaults

__all__ = ("NatsLink",)

KINDS: dict[str, Kind] = {
    "asyncbackends publishing": "publishing",
    "asyncbackends consuming": "consuming",
}
LINE = b"\r\n"
MESSAGES = "ab."
ANSWERS = "$JS.ACK."
STILL_WORKING = b"+WPI"
FULL = {"code": 503, "err_code": 10077, "description": "maximum messages exceeded"}
"""A stream at its limit that takes nothing new."""
NO_ROOM = {"code": 503, "err_code": 10023, "description": "insufficient resources"}
"""A server whose storage is used up (2.15, ``max_file_store``), until something is consumed."""
TOO_LARGE = b"-ERR 'Maximum Payload Violation'\r\n"


class NatsLink(Link):
    """A connection of a NATS client."""

    def __init__(self, proxy: "NatsFaults") -> None:
        super().__init__(proxy)
        self._stream = proxy.stream_prefix
        self._subscriptions: dict[str, list[str]] = {}
        self._awaited: dict[str, bool] = {}
        """The inboxes of messages without a confirm, and whether they are to have one."""
        self._held: list[bytes] = []
        self._pings = 0
        """How many of the client's own are without an answer."""

    # From the client.

    def from_client(self, buffer: bytearray) -> int:
        end = buffer.find(LINE)
        if end < 0:
            return 0
        operation, _, rest = buffer[:end].decode().partition(" ")
        operation, words, length = operation.upper(), rest.split(), end + len(LINE)
        if operation not in {"PUB", "HPUB"}:
            self._order(operation, words, rest, bytes(buffer[:length]))
            return length
        start, length = length, length + int(words[-1]) + len(LINE)
        if len(buffer) < length:
            return 0
        if not self.muted:
            content = bytes(buffer[start : length - len(LINE)])
            headers = int(words[-2]) if operation == "HPUB" else 0
            has_inbox = len(words) == (4 if operation == "HPUB" else 3)
            inbox = words[1] if has_inbox else ""
            raw = bytes(buffer[:length])
            if self.kind == "publishing" and inbox and words[0].startswith(MESSAGES):
                self._publish(raw, inbox, content[:headers])
            elif self.kind == "consuming" and words[0].startswith(ANSWERS):
                self._settle(raw, content)
            else:
                self.server.write(raw)
        return length

    def _order(self, operation: str, words: list[str], rest: str, raw: bytes) -> None:
        # The link seems to live also when it is muted.
        if operation not in {"PING", "PONG"} and self.muted:
            return
        if operation == "CONNECT":
            name = json.loads(rest).get("name")
            self.kind = KINDS.get(name or "")
        elif operation == "SUB":
            self._subscriptions[words[-1]] = words[0].split(".")
        elif operation == "UNSUB" and len(words) == 1:
            self._subscriptions.pop(words[0], None)
        self._pings += operation == "PING"
        self.server.write(raw)

    def _publish(self, raw: bytes, inbox: str, headers: bytes) -> None:
        switches = self.switches
        if switches.closing and _message_id(headers) in switches.closing:
            self.close_client(TOO_LARGE)
        elif switches.blocked:
            self._refuse(inbox, NO_ROOM)
        elif switches.refuses_message():
            self._refuse(inbox, FULL)
        else:
            self._awaited[inbox] = not switches.loses_confirm()
            self.server.write(raw)

    def _refuse(self, inbox: str, error: Mapping[str, object]) -> None:
        content = json.dumps({"error": error, "stream": self._stream, "seq": 0}).encode()
        for number, pattern in self._subscriptions.items():
            if _matches(pattern, inbox.split(".")):
                line = f"MSG {inbox} {number} {len(content)}".encode()
                self.client.write(line + LINE + content + LINE)

    def _settle(self, raw: bytes, content: bytes) -> None:
        if content.startswith(STILL_WORKING):
            self.server.write(raw)
            return
        match self.switches.settle(self):
            case "pass":
                self.server.write(raw)
            case "lose":
                pass
            case "cut":
                self.cut_client()

    # From the server.

    def from_server(self, buffer: bytearray) -> int:
        end = buffer.find(LINE)
        if end < 0:
            return 0
        operation, _, rest = buffer[:end].decode().partition(" ")
        words, length = rest.split(), end + len(LINE)
        if operation.upper() not in {"MSG", "HMSG"}:
            self._pings -= operation.upper() == "PONG"
            self.client.write(bytes(buffer[:length]))
            return length
        length += int(words[-1]) + len(LINE)
        if len(buffer) < length:
            return 0
        is_confirmed = self._awaited.pop(words[0], None)
        if is_confirmed is not None and self.switches.holds_confirms:
            if is_confirmed:
                self._held.append(bytes(buffer[:length]))
        elif is_confirmed is not False:
            self.client.write(bytes(buffer[:length]))
        return length

    # Faults.

    def release(self) -> None:
        self.client.write(b"".join(self._held))
        self._held.clear()

    def block(self) -> None:
        """Tell nothing: a NATS server answers each message that it has no room."""

    def unblock(self) -> None:
        """Tell nothing: the client has to try again."""

    def take_leave(self) -> None:
        self.server.write(b"PING" + LINE)

    def has_left(self, buffer: bytearray) -> bool:
        # No message in these tests holds such a line.
        return buffer.count(b"PONG" + LINE) > self._pings


def _matches(pattern: list[str], subject: list[str]) -> bool:
    if pattern[-1] == ">":
        pattern = pattern[:-1]
        subject, rest = subject[: len(pattern)], subject[len(pattern) :]
        if not rest:
            return False
    return len(pattern) == len(subject) and all(
        wanted in {"*", found} for wanted, found in zip(pattern, subject, strict=True)
    )


def _message_id(headers: bytes) -> str:
    for line in headers.decode().splitlines():
        name, _, value = line.partition(":")
        if name.lower() == "nats-msg-id":
            return unquote(value.strip())
    return ""
