"""The standing pull of one consumer: what the server may still send, and the next order. Pure."""

from typing import Final

__all__ = ("NANO", "Pulls")

NANO: Final = 1_000_000_000
"""Of a second: JetStream counts in them."""
EXPIRES: Final = 300 * NANO
HEARTBEAT: Final = NANO
"""Between signs of life of a pull that brings nothing."""
REMEMBERED: Final = 16


class Pulls:
    """Orders as many messages as there is room for, in few orders."""

    def __init__(self, stream: str, consumer: str, inbox: str, prefetch: int) -> None:
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = inbox
        self._prefetch = prefetch
        self._number = 0
        self._ordered: dict[int, int] = {}
        self.requested = 0
        """So many messages the server may still send."""

    def order(self, unsettled: int) -> bytes:
        """Give the order for what there is room for, empty if it is not worth one yet."""
        room = self._prefetch - unsettled - self.requested
        if room <= 0 or (self.requested > 0 and 2 * room < self._prefetch):
            return b""
        self.requested += room
        self._number += 1
        self._ordered[self._number] = room
        if len(self._ordered) > REMEMBERED:
            del self._ordered[next(iter(self._ordered))]
        body = b'{"batch":%d,"expires":%d,"idle_heartbeat":%d}' % (room, EXPIRES, HEARTBEAT)
        reply = f"{self._inbox}.{self._number}"
        return f"PUB {self._next} {reply} {len(body)}\r\n".encode() + body + b"\r\n"

    def ended(self, subject: bytes, lines: list[str]) -> None:
        """Take note of an order's end, which says how much it still had to bring.

        :param subject: where the end was told: it holds the order's number.
        """
        last = subject.rpartition(b".")[2]
        ordered = self._ordered.pop(int(last), 0) if last.isdigit() else 0
        for line in lines:
            name, _, value = line.partition(":")
            if name.lower() == "nats-pending-messages":
                ordered = int(value)
        self.requested -= ordered
