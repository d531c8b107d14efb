"""What queues were declared as: JetStream tells of a consumer only to who knows its stream."""

import base64
import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from asyncbackends.broker.declaring import QueueRecord
from asyncbackends.errors import ConfigurationError
from asyncbackends_nats.driver_errors import (
    NO_MESSAGE,
    NO_STREAM,
    OTHER_SEQUENCE,
    OTHER_STREAM,
    JetStreamError,
)
from asyncbackends_nats.names import Names, text_of
from asyncbackends_nats.requests import Requests, answer_of

__all__ = ("Register", "Registered")

EXPECTED: Final = "NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: %d\r\n%s\r\n"
DELETES: Final = "Ab-Deletes: %d\r\n"
DELETED: Final = re.compile(rb"\r\nAb-Deletes: (\d+)\r\n")


class Registered(NamedTuple):
    """What the register has of a queue."""

    sequence: int
    record: QueueRecord
    deletes: int | None
    """The number of the record in whose place it says that the queue is being deleted."""


class Register:
    """A stream with one record for each queue, and one for each key that it is bound with."""

    def __init__(self, requests: Requests, names: Names, replicas: int) -> None:
        self._requests = requests
        self._names = names
        self._replicas = replicas

    async def read(self, queue: str) -> Registered | None:
        """Give a queue's record."""
        asked = {"last_by_subj": self._names.record(queue)}
        try:
            found = await self._requests.api(f"STREAM.MSG.GET.{self._names.register}", asked)
        except JetStreamError as error:
            if error.err_code in {NO_MESSAGE, NO_STREAM}:
                return None
            raise
        message = found["message"]
        try:
            record = QueueRecord.decoded(base64.b64decode(message.get("data", "")))
        except msgspec.MsgspecError as error:
            text = f"the record of queue {queue!r} in stream {self._names.register} is no record"
            raise ConfigurationError(text) from error
        mark = DELETED.search(base64.b64decode(message.get("hdrs", "")))
        return Registered(message["seq"], record, int(mark[1]) if mark else None)

    async def write(self, queue: str, record: QueueRecord, last: int) -> int | None:
        """Write a queue's record.

        :param last: the number of the record it replaces, 0 for none.
        :returns: its number, or None when somebody else was first.
        """
        sequence = await self._replace(queue, record, last)
        if sequence is not None:
            # Of a queue that had the name before.
            await self._purge({"filter": self._under(queue), "seq": sequence})
        return sequence

    async def mark(self, queue: str, found: Registered) -> int | None:
        """Say of a queue that it is being deleted, so that nobody takes its record for good.

        :returns: the mark's number, or None when somebody else was first.
        """
        return await self._replace(queue, found.record, found.sequence, DELETES % found.sequence)

    async def _replace(
        self, queue: str, record: QueueRecord, last: int, more: str = ""
    ) -> int | None:
        headers = (EXPECTED % (last, more)).encode()
        try:
            answer = await self._store(self._names.record(queue), record.encoded(), headers)
        except JetStreamError as error:
            if error.err_code in OTHER_SEQUENCE:
                return None
            raise
        sequence: int = answer["seq"]
        return sequence

    async def _store(self, subject: str, body: bytes, headers: bytes = b"") -> dict[str, Any]:
        reply = await self._requests.ask(subject, body, headers=headers)
        if reply.status == "503":
            await self._make()
            reply = await self._requests.ask(subject, body, headers=headers)
        return answer_of(reply)

    async def _make(self) -> None:
        names = self._names
        wanted = {
            "name": names.register,
            "subjects": [f"{names.records}.*", f"{names.keys}.*.*"],
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "max_msgs_per_subject": 1,
            "num_replicas": self._replicas,
            "allow_direct": True,
        }
        try:
            await self._requests.api(f"STREAM.CREATE.{names.register}", wanted)
        except JetStreamError as error:
            # Somebody made it with more replicas, say.
            if error.err_code != OTHER_STREAM:
                raise

    async def last(self) -> int:
        """Give the number that was written last, 0 where nothing was."""
        try:
            found = await self._requests.api(f"STREAM.INFO.{self._names.register}")
        except JetStreamError as error:
            if error.err_code == NO_STREAM:
                return 0
            raise
        last: int = found["state"]["last_seq"]
        return last

    async def forget(self, queue: str, sequence: int, last: int) -> None:
        """Delete a queue's record, if it is still the one of that number, and its keys.

        :param last: a number from before the record was read: a later key may be a new queue's.
        """
        await self._purge({"filter": self._names.record(queue), "seq": sequence + 1})
        await self._purge({"filter": self._under(queue), "seq": last + 1})

    async def _purge(self, what: dict[str, Any]) -> None:
        try:
            await self._requests.api(f"STREAM.PURGE.{self._names.register}", what)
        except JetStreamError as error:
            if error.err_code != NO_STREAM:
                raise

    async def bind(self, queue: str, keys: Iterable[str]) -> None:
        """Note that a queue is bound with these keys too."""
        for key in keys:
            await self._store(self._names.key(queue, key), b"")

    async def keys(self, queue: str) -> set[str]:
        """Give the keys that a queue is bound with."""
        asked = {"subjects_filter": self._under(queue)}
        found = await self._requests.api(f"STREAM.INFO.{self._names.register}", asked)
        subjects: dict[str, int] = found["state"].get("subjects") or {}
        return {text_of(subject.rpartition(".")[2]) for subject in subjects}

    def _under(self, queue: str) -> str:
        return f"{self._names.key(queue, '').rpartition('.')[0]}.*"
