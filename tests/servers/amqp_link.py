"""One AMQP link through the proxy: what it forwards, answers itself, holds back and loses."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pamqp.commands

from tests.servers.amqp_frames import (
    Assembler,
    Ids,
    Unit,
    answer_frame,
    client_of,
    message_id_of,
    method,
)
from tests.servers.fault_links import Kind, Link

if TYPE_CHECKING:
    from tests.servers.amqp_faults import AmqpFaults

__all__ = ("AmqpLink",)

KINDS: dict[str, Kind] = {
    "asyncbackends publishing": "publishing",
    "asyncbackends consuming": "consuming",
}
START_OK: Ids = (10, 11)
OPEN_OK: Ids = (10, 41)
CONNECTION_CLOSE_OK: Ids = (10, 51)
CHANNEL_CLOSE: Ids = (20, 40)
CHANNEL_CLOSE_OK: Ids = (20, 41)
DECLARE_EXCHANGE: Ids = (40, 10)
DECLARE_QUEUE: Ids = (50, 10)
BIND_QUEUE: Ids = (50, 20)
PUBLISH: Ids = (60, 40)
DELIVER: Ids = (60, 60)
GET_OK: Ids = (60, 71)
ACK: Ids = (60, 80)
REJECT: Ids = (60, 90)
NACK: Ids = (60, 120)
CONFIRM_SELECT: Ids = (85, 10)
SETTLING = {ACK, REJECT, NACK}
MULTIPLE = 1
TOO_LARGE = "PRECONDITION_FAILED - message size 1 is larger than configured max size 0"
"""As RabbitMQ 4.3 says it, sizes apart."""
MEMORY = "low on memory"
GREETING = 8


@dataclass
class Channel:
    """What the proxy has to know of a channel."""

    confirming: bool = False
    published: int = 0
    """The client's number of the last message."""
    forwarded: int = 0
    """The server's."""
    unconfirmed: dict[int, int | None] = field(default_factory=dict[int, int | None])
    """The client's numbers by the server's; None: it is never to be confirmed."""
    confirms_singly: bool = False
    """An answer to several would answer one that is to have none, or another number."""
    unsettled: dict[int, None] = field(default_factory=dict[int, None])
    """Deliveries that the client has not answered as it sees it."""
    settles_singly: bool = False
    closing: set[str] = field(default_factory=set[str])
    """Who still has to say that the channel, which the proxy closed, is closed."""
    waiting: list[Unit] = field(default_factory=list[Unit])
    """What the client sends on its next channel of that number."""


class AmqpLink(Link):
    """A connection of an AMQP client."""

    def __init__(self, proxy: "AmqpFaults") -> None:
        super().__init__(proxy)
        self._faults = proxy
        self._client_frames = Assembler()
        self._server_frames = Assembler()
        self._channels: dict[int, Channel] = {}
        self._held: list[bytes] = []
        self._backlog: list[Unit] | None = None
        """What came from the first message on, while the broker takes none."""
        self._knows_blocking = False
        self._is_open = False

    def _channel(self, number: int) -> Channel:
        return self._channels.setdefault(number, Channel())

    # From the client.

    def from_client(self, buffer: bytearray) -> int:
        length, unit = self._client_frames.take(buffer)
        if unit is not None:
            self._client_unit(unit)
        return length

    def _client_unit(self, unit: Unit) -> None:
        if unit.ids is None:
            # Heartbeats go on in every case: the link seems to live.
            self.server.write(unit.raw)
        elif self.muted:
            return
        elif self._backlog is not None:
            self._backlog.append(unit)
        elif self.kind == "publishing" and self.switches.blocked and unit.ids == PUBLISH:
            # A server under an alarm reads nothing more from who has sent a message.
            self._backlog = [unit]
        else:
            self._handle(unit)

    def _handle(self, unit: Unit) -> None:
        channel = self._channel(unit.channel)
        if channel.closing:
            self._on_closing_channel(channel, unit)
        elif unit.ids == PUBLISH and self.kind == "publishing":
            self._publish(channel, unit)
        elif unit.ids in SETTLING and self.kind == "consuming":
            self._settle(channel, unit)
        else:
            self._note(channel, unit)
            self.server.write(unit.raw)

    def _note(self, channel: Channel, unit: Unit) -> None:
        if unit.ids == START_OK:
            name, self._knows_blocking = client_of(unit)
            self.kind = KINDS.get(name)
        elif unit.ids == CONFIRM_SELECT:
            channel.confirming = True
        elif unit.ids == CHANNEL_CLOSE_OK:
            del self._channels[unit.channel]
        elif unit.ids in {DECLARE_EXCHANGE, DECLARE_QUEUE, BIND_QUEUE}:
            self._faults.declared(unit)

    def _publish(self, channel: Channel, unit: Unit) -> None:
        switches = self.switches
        if switches.closing and message_id_of(unit) in switches.closing:
            self._close_channel(channel, unit.channel)
            return
        if not channel.confirming:
            self.server.write(unit.raw)
            return
        channel.published += 1
        if switches.refuses_message():
            channel.confirms_singly = True
            self.client.write(answer_frame(unit.channel, NACK, channel.published, 0))
            return
        channel.forwarded += 1
        is_lost = switches.loses_confirm()
        channel.confirms_singly |= is_lost
        channel.unconfirmed[channel.forwarded] = None if is_lost else channel.published
        self.server.write(unit.raw)

    def _close_channel(self, channel: Channel, number: int) -> None:
        """Close it on both sides, each as if the other had."""
        closing = pamqp.commands.Channel.Close(406, TOO_LARGE, *PUBLISH)
        frame = method(number, closing)
        self.client.write(frame)
        self.server.write(frame)
        channel.closing |= {"client", "server"}

    def _on_closing_channel(self, channel: Channel, unit: Unit) -> None:
        if "client" not in channel.closing:
            channel.waiting.append(unit)
        elif unit.ids == CHANNEL_CLOSE:
            self.client.write(method(unit.channel, pamqp.commands.Channel.CloseOk()))
        elif unit.ids == CHANNEL_CLOSE_OK:
            self._closed(unit.channel, channel, "client")

    def _closed(self, number: int, channel: Channel, who: str) -> None:
        channel.closing.discard(who)
        if not channel.closing:
            del self._channels[number]
            for unit in channel.waiting:
                self._handle(unit)

    def _settle(self, channel: Channel, unit: Unit) -> None:
        tag, bits = int.from_bytes(unit.payload[:8], "big"), unit.payload[8]
        ids: Ids = unit.ids or ACK
        tags = [tag]
        if ids != REJECT and bits & MULTIPLE:
            tags = [each for each in channel.unsettled if each <= tag or tag == 0]
            bits &= ~MULTIPLE
        verdicts: list[str] = []
        for each in tags:
            channel.unsettled.pop(each, None)
            verdicts.append(self.switches.settle(self))
            if verdicts[-1] == "cut":
                break
        if not channel.settles_singly and {*verdicts} == {"pass"}:
            self.server.write(unit.raw)
            return
        # One that was lost is not to be settled by a later answer to several.
        channel.settles_singly = True
        passed = (each for each, verdict in zip(tags, verdicts, strict=False) if verdict == "pass")
        self.server.write(b"".join(answer_frame(unit.channel, ids, each, bits) for each in passed))
        if "cut" in verdicts:
            self.cut_client()

    # From the server.

    def from_server(self, buffer: bytearray) -> int:
        length, unit = self._server_frames.take(buffer)
        if unit is not None:
            self._server_unit(unit)
        return length

    def _server_unit(self, unit: Unit) -> None:
        channel = self._channels.get(unit.channel)
        if unit.ids is None or channel is None:
            self.client.write(unit.raw)
        elif "server" in channel.closing:
            if unit.ids == CHANNEL_CLOSE:
                self.server.write(method(unit.channel, pamqp.commands.Channel.CloseOk()))
            elif unit.ids == CHANNEL_CLOSE_OK:
                self._closed(unit.channel, channel, "server")
        elif channel.closing:
            return
        elif unit.ids in {ACK, NACK} and channel.confirming:
            self._confirm(channel, unit)
        else:
            self._pass_to_client(channel, unit)

    def _pass_to_client(self, channel: Channel, unit: Unit) -> None:
        self.client.write(unit.raw)
        if unit.ids == DELIVER:
            start = 1 + unit.payload[0]
            channel.unsettled[int.from_bytes(unit.payload[start : start + 8], "big")] = None
        elif unit.ids == GET_OK:
            channel.unsettled[int.from_bytes(unit.payload[:8], "big")] = None
        elif unit.ids == CHANNEL_CLOSE_OK:
            del self._channels[unit.channel]
        elif unit.ids == OPEN_OK:
            self._is_open = True
            if self.switches.blocked and self.kind == "publishing":
                self.block()

    def _confirm(self, channel: Channel, unit: Unit) -> None:
        tag, bits = int.from_bytes(unit.payload[:8], "big"), unit.payload[8]
        tags = [tag]
        if bits & MULTIPLE:
            tags = [each for each in channel.unconfirmed if each <= tag]
        numbers = [channel.unconfirmed.pop(each, None) for each in tags]
        raw = unit.raw
        if channel.confirms_singly:
            bits &= ~MULTIPLE
            answered = (number for number in numbers if number is not None)
            ids: Ids = unit.ids or ACK
            raw = b"".join(answer_frame(unit.channel, ids, number, bits) for number in answered)
        if self.switches.holds_confirms:
            self._held.append(raw)
        else:
            self.client.write(raw)

    # Faults.

    def release(self) -> None:
        self.client.write(b"".join(self._held))
        self._held.clear()

    def block(self) -> None:
        if self._is_open and self._knows_blocking:
            self.client.write(method(0, pamqp.commands.Connection.Blocked(MEMORY)))

    def unblock(self) -> None:
        if self._is_open and self._knows_blocking:
            self.client.write(method(0, pamqp.commands.Connection.Unblocked()))
        backlog, self._backlog = self._backlog, None
        for unit in backlog or ():
            self._client_unit(unit)

    def take_leave(self) -> None:
        self.server.write(method(0, pamqp.commands.Connection.Close(200, "bye", 0, 0)))

    def has_left(self, buffer: bytearray) -> bool:
        while True:
            length, unit = self._server_frames.take(buffer)
            del buffer[:length]
            if unit is not None and unit.ids == CONNECTION_CLOSE_OK:
                return True
            if not length:
                return False
