"""Faults between NATS clients and a real server: what the broker kit asks of LinkFaults."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.servers.fault_links import Link
from tests.servers.fault_proxy import FaultProxy
from tests.servers.nats_link import NatsLink
from tests.servers.server import Server

__all__ = ("NatsFaults", "ask_nats", "nats_token")

Question = tuple[str, dict[str, Any]]
"""An operation of the API, and its arguments."""
INBOX = "_INBOX.faults"
NO_SUCH_THING = {10014, 10059}
"""Consumer not found, stream not found."""
NO_MESSAGE = {10037, 10043, 10057}
"""It is gone already."""


class NatsFaults(FaultProxy):
    """``with NatsFaults(server, namespace) as faults``: clients connect to ``faults.endpoint``.

    Clients say by the ``name`` in CONNECT whether they publish or consume.
    """

    def __init__(
        self, server: Server, namespace: str, *, restart: Callable[[], object] | None = None
    ) -> None:
        """Stand in front of a server.

        :param restart: how it is restarted; without it :meth:`restart` cuts all links and deletes
            the namespace's streams and consumers that are in memory.
        """
        super().__init__(server.endpoint, restart)
        self._address = server.endpoint
        settings = server.settings()
        self._account = {
            short: settings[name]
            for short, name in (("user", "username"), ("pass", "password"))
            if name in settings
        }
        self.stream_prefix = f"AB-{nats_token(namespace)}-"

    def lose_messages(self, name: str) -> None:
        """Delete from the stream what a queue was not handed out yet; other queues lose it too."""
        self.run(self._lose(nats_token(name)))

    def delete_queue(self, name: str) -> None:
        """Delete a queue's consumer; the register of queues keeps its record."""
        self.run(self._delete_consumer(nats_token(name)))

    def delete_exchange(self, name: str) -> None:
        """Delete an exchange's stream, and so its consumers."""
        stream = f"{self.stream_prefix}{nats_token(name)}"
        self.run(self._ask((f"STREAM.DELETE.{stream}", {}), ignored=NO_SUCH_THING))

    async def remove_what_is_not_durable(self) -> None:
        """Delete what is in memory."""
        for stream in await self._streams():
            (found,) = await self._ask((f"STREAM.INFO.{stream}", {}))
            if found["config"]["storage"] == "memory":
                await self._ask((f"STREAM.DELETE.{stream}", {}))
                continue
            (listed,) = await self._ask((f"CONSUMER.LIST.{stream}", {}))
            for consumer in listed["consumers"]:
                if consumer["config"].get("mem_storage"):
                    await self._ask((f"CONSUMER.DELETE.{stream}.{consumer['name']}", {}))

    async def _streams(self) -> list[str]:
        (found,) = await self._ask(("STREAM.NAMES", {}))
        names: list[str] = found.get("streams") or []
        return [name for name in names if name.startswith(self.stream_prefix)]

    async def _holders(self, queue: str) -> list[str]:
        """Give the streams that have this consumer: one, or none."""
        streams = await self._streams()
        questions: list[Question] = [(f"CONSUMER.INFO.{stream}.{queue}", {}) for stream in streams]
        answers = await self._ask(*questions, ignored=NO_SUCH_THING)
        return [
            stream for stream, answer in zip(streams, answers, strict=True) if "error" not in answer
        ]

    async def _delete_consumer(self, queue: str) -> None:
        for stream in await self._holders(queue):
            await self._ask((f"CONSUMER.DELETE.{stream}.{queue}", {}), ignored=NO_SUCH_THING)

    async def _lose(self, queue: str) -> None:
        for stream in await self._holders(queue):
            of_both = f"CONSUMER.INFO.{stream}.{queue}", f"STREAM.INFO.{stream}"
            asked: list[Question] = [(name, {}) for name in of_both]
            consumer, found = await self._ask(*asked)
            waiting = range(consumer["delivered"]["stream_seq"], found["state"]["last_seq"])
            deleting: list[Question] = [
                (f"STREAM.MSG.DELETE.{stream}", {"seq": last + 1}) for last in waiting
            ]
            await self._ask(*deleting, ignored=NO_MESSAGE)

    async def _ask(
        self, *questions: Question, ignored: set[int] | None = None
    ) -> list[dict[str, Any]]:
        answers = await ask_nats(self._address, questions, self._account)
        for (name, _), answer in zip(questions, answers, strict=True):
            if "error" in answer and answer["error"]["err_code"] not in (ignored or set()):
                raise RuntimeError(f"{name}: {answer['error']}")
        return answers

    def make_link(self) -> Link:
        """Make one for a client that has just come."""
        return NatsLink(self)


def nats_token(name: str) -> str:
    """Escape a name to one token of a subject."""
    escaped = "".join(
        chr(byte)
        if chr(byte).isascii() and (chr(byte).isalnum() or byte == ord("_"))
        else f"={byte:02X}"
        for byte in name.encode()
    )
    return escaped or "="


async def ask_nats(
    address: str, questions: Sequence[Question], account: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Ask JetStream's API by a connection of its own."""
    if not questions:
        return []
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        # The greeting, which may say more than a line has room for by default.
        await reader.readuntil(b"\r\n")
        connecting = json.dumps({"verbose": False, **(account or {})})
        writer.write(f"CONNECT {connecting}\r\nSUB {INBOX}.* 1\r\n".encode())
        for number, (name, arguments) in enumerate(questions):
            content = json.dumps(arguments).encode() if arguments else b""
            line = f"PUB $JS.API.{name} {INBOX}.{number} {len(content)}\r\n"
            writer.write(line.encode() + content + b"\r\n")
        answers: dict[int, dict[str, Any]] = {}
        while len(answers) < len(questions):
            words = (await reader.readuntil(b"\r\n")).decode().split()
            if words[0] == "MSG":
                content = await reader.readexactly(int(words[-1]) + 2)
                answers[int(words[1].rpartition(".")[2])] = json.loads(content)
            elif words[0] not in {"PING", "PONG", "INFO"}:
                raise RuntimeError(f"the server said {' '.join(words)}")
        return [answers[number] for number in range(len(questions))]
    finally:
        writer.close()
        await writer.wait_closed()
