"""One link of HTTP/2 through the proxy: what of etcd's calls it passes on, and what it loses."""

from typing import TYPE_CHECKING

from hpack import Decoder

from asyncbackends_etcd.responses import transacted, watched
from tests.servers.fault_links import Link

if TYPE_CHECKING:
    from tests.servers.etcd_faults import EtcdFaults

__all__ = ("EtcdLink",)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = 9
PREFIX = 5
DATA, HEADERS, RST_STREAM = 0, 1, 3
INTERNAL_ERROR = (2).to_bytes(4)
RENEWAL, TXN, WATCH = "LeaseKeepAlive", "Txn", "Watch"


class EtcdLink(Link):
    """A connection of an etcd client, which writes each block of headers as one frame."""

    def __init__(self, proxy: "EtcdFaults") -> None:
        super().__init__(proxy)
        self._faults = proxy
        self._greeted = False
        self._decoder = Decoder()
        self._methods: dict[int, str] = {}
        self._lost: set[int] = set()
        """Streams of which nothing is passed on any more, from the client or to it."""

    def from_client(self, buffer: bytearray) -> int:
        if not self._greeted:
            if len(buffer) < len(PREFACE):
                return 0
            self._greeted = True
            self.server.write(bytes(buffer[: len(PREFACE)]))
            return len(PREFACE)
        length = _length(buffer)
        if not length:
            return 0
        kind, stream, payload = _parts(buffer, length)
        if kind == HEADERS:
            headers = dict(self._decoder.decode(payload, raw=True))
            self._methods[stream] = headers[b":path"].decode().rpartition("/")[2]
            if self._methods[stream] == RENEWAL and self._faults.freezes_renewals:
                self._lost.add(stream)
        elif kind == RST_STREAM:
            self._methods.pop(stream, None)
        if kind != DATA or stream not in self._lost:
            self.server.write(bytes(buffer[:length]))
        return length

    def from_server(self, buffer: bytearray) -> int:
        length = _length(buffer)
        if not length:
            return 0
        kind, stream, payload = _parts(buffer, length)
        if kind == DATA:
            method = self._methods.get(stream)
            if method == TXN and self._faults.lost_replies and _wrote(payload):
                self._faults.lost_replies -= 1
                self.cut()
                return 0
            if method == WATCH and self._faults.lost_events and _tells(payload):
                self._faults.lost_events = 0
                self._lost.add(stream)
                reset = len(INTERNAL_ERROR).to_bytes(3) + bytes((RST_STREAM, 0))
                reset += stream.to_bytes(4) + INTERNAL_ERROR
                self.client.write(reset)
                self.server.write(reset)
        if stream not in self._lost or kind == HEADERS:
            self.client.write(bytes(buffer[:length]))
        return length

    def release(self) -> None:
        """Hold back nothing."""

    def block(self) -> None:
        """Have no word for it."""

    def unblock(self) -> None:
        """Have no word for it."""

    def take_leave(self) -> None:
        """Let the server learn it by the end of the connection."""
        self.server.close()

    def has_left(self, buffer: bytearray) -> bool:
        return True


def _length(buffer: bytearray) -> int:
    """Give the length of the first frame, 0 if it is not whole."""
    if len(buffer) < HEAD:
        return 0
    length = HEAD + int.from_bytes(buffer[:3])
    return length if len(buffer) >= length else 0


def _parts(buffer: bytearray, length: int) -> tuple[int, int, bytes]:
    return buffer[3], int.from_bytes(buffer[5:HEAD]), bytes(buffer[HEAD:length])


def _is_message(payload: bytes) -> bool:
    return len(payload) >= PREFIX and len(payload) == PREFIX + int.from_bytes(payload[1:PREFIX])


def _wrote(payload: bytes) -> bool:
    if not _is_message(payload):
        return False
    answer = transacted(payload[PREFIX:])
    return answer.succeeded and answer.writes > 0


def _tells(payload: bytes) -> bool:
    return _is_message(payload) and bool(watched(payload[PREFIX:]).events)
