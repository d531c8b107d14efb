"""Reads the last messages of subjects, and which sessions live."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from asyncbackends.errors import BackendError, ConnectionLostError
from asyncbackends_nats.driver_errors import NO_MESSAGE, JetStreamError
from asyncbackends_nats.requests import header_of
from asyncbackends_nats.tree.asking import Answer, Asking
from asyncbackends_nats.tree.committing import pause
from asyncbackends_nats.tree.records import SESSION, Record, parsed
from asyncbackends_nats.tree.subjects import Subjects

__all__ = ("Reading",)

MOST: Final = 1000
"""Subjects of one question; a server takes 1024."""
PAGE: Final = 500
PAGE_BYTES: Final = 4 * 1024 * 1024
"""Of one answer; a server's own limit is as much as it lets a client have unread."""
TOO_MANY: Final = "413"
NONE: Final = b"No Results"
TRIES: Final = 5
"""Looks at many subjects that somebody changes meanwhile, before each is asked for alone."""


class Reading:
    """Reads over one connection.

    :param direct: any server that has the stream may answer: with one replica that is its leader.
    :param leave_end: writes that a session has ended if there is nothing of it; None: there was.
        With replicas whoever answers may have been replaced as the leader, and have removed by its
        own clock what others renewed: only what most of them have stored is the end of a session.
    """

    def __init__(
        self,
        asking: Asking,
        subjects: Subjects,
        leave_end: Callable[[str], Awaitable[Record | None]],
        *,
        direct: bool,
    ) -> None:
        self.is_direct = direct
        self._asking = asking
        self._subjects = subjects
        self._leave_end = leave_end
        self._get = f"$JS.API.DIRECT.GET.{subjects.stream}"

    async def last(self, subject: str, path: str | None) -> Record | None:
        """Give the last message of a subject."""
        if not self.is_direct:
            return await self._from_leader(subject)
        answer = await self._asking.ask(f"{self._get}.{subject}")
        if answer.headers[8:9] == b" ":
            if answer.status == "404":
                return None
            raise _refusal(answer)
        return parsed(subject, path, _sequence(answer.headers), answer.headers, answer.body)

    async def living(self, path: str) -> Record | None:
        """Give a node, None if there is none or its session has ended."""
        record = await self.last(self._subjects.node(path), path)
        if record is None or not record.is_node:
            return None
        if record.owner is not None and not await self.sessions([record.owner]):
            return None
        return record

    async def sessions(self, owners: Collection[str]) -> dict[str, int]:
        """Give those sessions that live, and the sequences of their messages."""
        found = await self.ended_or_not(owners)
        return {owner: one.sequence for owner, one in found.items() if one.sign == SESSION}

    async def ended_or_not(self, owners: Collection[str]) -> dict[str, Record]:
        """Give what there is of sessions: that they live, or how they ended."""
        found = await self._told(owners)
        if self.is_direct:
            return found
        missing = [owner for owner in owners if owner not in found]
        records = await asyncio.gather(*map(self._surely, missing))
        return found | dict(zip(missing, records, strict=True))

    async def _told(self, owners: Collection[str]) -> dict[str, Record]:
        if not owners:
            return {}
        if len(owners) == 1:
            (owner,) = owners
            record = await self.last(self._subjects.session(owner), None)
            return {} if record is None else {owner: record}
        records = await self.many([self._subjects.session(owner) for owner in owners])
        named = ((self._subjects.session_of(one.subject), one) for one in records)
        return {owner: one for owner, one in named if owner is not None}

    async def _surely(self, owner: str) -> Record:
        """Give what there is of a session of which one server had nothing."""
        tries = 0
        while True:
            ended = await self._leave_end(owner)
            if ended is not None:
                return ended
            there = await self.last(self._subjects.session(owner), None)
            if there is not None:
                return there
            tries += 1
            await pause(tries)

    async def many(self, filters: Sequence[str]) -> list[Record]:
        """Give the last messages of all subjects that match, in no order, each once."""
        if self.is_direct and len(filters) <= MOST:
            for _ in range(TRIES):
                found = await self._multi(filters)
                if found is None:
                    continue
                if isinstance(found, str):
                    break
                return found
        found_by_name: dict[str, Record] = {}
        tries = 0
        while True:
            names = await self._names(filters)
            new = [one for one in names if one not in found_by_name]
            for start in range(0, len(new), MOST):
                for record in await self._of_names(new[start : start + MOST]):
                    found_by_name[record.subject] = record
            # One that was listed has gone by now; or whoever answered leads no more, and does not
            # know it yet.
            if all(one in found_by_name for one in new if names[one]):
                return [*found_by_name.values()]
            tries += 1
            await pause(tries)

    async def later(self, one: str, first: int, most: int) -> list[Record]:
        """Give messages that match a filter, from a sequence on, in order, and at most so many.

        Only of a stream that any server may read of.
        """
        records: list[Record] = []
        while len(records) < most:
            question = {
                "seq": first,
                "next_by_subj": one,
                "batch": min(PAGE, most),
                "max_bytes": PAGE_BYTES,
            }
            parts = await self._asking.ask_many(self._get, json.dumps(question).encode())
            found = [*map(self._record, parts[:-1])]
            records += found
            end = parts[-1]
            if end.status not in {"204", "404"}:
                raise _refusal(end)
            if not found or not int(header_of(end.headers, b"Nats-Num-Pending") or 0):
                break
            first = found[-1].sequence + 1
        return records

    async def _of_names(self, names: Sequence[str]) -> Iterable[Record]:
        if self.is_direct:
            found = await self._multi(names)
            if found is not None and not isinstance(found, str):
                return found
        records: list[Record | None] = await asyncio.gather(
            *(self.last(one, self._subjects.path_of(one, b"")) for one in names)
        )
        return [one for one in records if one is not None]

    async def _multi(self, filters: Sequence[str]) -> list[Record] | str | None:
        """Give what matches; text if there are too many; None if it changed under the server."""
        found: dict[str, Record] = {}
        question: dict[str, Any] = {"multi_last": filters, "max_bytes": PAGE_BYTES}
        while True:
            parts = await self._asking.ask_many(self._get, json.dumps(question).encode())
            found |= {one.subject: one for one in map(self._record, parts[:-1])}
            end = parts[-1]
            if end.status == TOO_MANY:
                return TOO_MANY
            if end.status == "404" and NONE not in end.headers:
                return None
            if end.status not in {"204", "404"}:
                raise _refusal(end)
            if int(header_of(end.headers, b"Nats-Num-Pending") or 0):
                # So many bytes at once, and the rest when it is asked for.
                question["seq"] = int(header_of(end.headers, b"Nats-Last-Sequence") or 0) + 1
                question["up_to_seq"] = int(header_of(end.headers, b"Nats-UpTo-Sequence") or 0)
            elif "up_to_seq" in question:
                # What was changed after the first page is on none of the others.
                question["seq"] = question.pop("up_to_seq") + 1
            else:
                return [*found.values()]

    def _record(self, answer: Answer) -> Record:
        headers = answer.headers
        subject = (header_of(headers, b"Nats-Subject") or b"").decode()
        path = self._subjects.path_of(subject, headers)
        return parsed(subject, path, _sequence(headers), headers, answer.body)

    async def _names(self, filters: Sequence[str]) -> dict[str, bool]:
        """Give the subjects that match, and whether the stream's leader says that they are there."""
        names: dict[str, bool] = {}
        for one in filters:
            if not one.endswith(("*", ">")):
                names[one] = False
                continue
            offset, total = 0, 1
            while offset < total:
                info = await self.info({"subjects_filter": one, "offset": offset})
                page: Mapping[str, int] = info["state"].get("subjects") or {}
                names |= dict.fromkeys(page, True)
                offset, total = offset + len(page), info.get("total", 0) if page else 0
        return names

    async def info(self, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask what the stream is."""
        return await self._asking.api_again(f"STREAM.INFO.{self._subjects.stream}", arguments)

    async def _from_leader(self, subject: str) -> Record | None:
        try:
            found = await self._asking.api_again(
                f"STREAM.MSG.GET.{self._subjects.stream}", {"last_by_subj": subject}
            )
        except JetStreamError as error:
            if error.err_code == NO_MESSAGE:
                return None
            raise
        message: dict[str, Any] = found["message"]
        headers = base64.b64decode(message.get("hdrs", ""))
        value = base64.b64decode(message.get("data", ""))
        path = self._subjects.path_of(subject, headers)
        return parsed(subject, path, message["seq"], headers, value)


def _sequence(headers: bytes) -> int:
    start = headers.index(b"\r\nNats-Sequence: ") + 17
    return int(headers[start : headers.index(b"\r\n", start)])


def _refusal(answer: Answer) -> BackendError:
    words = answer.headers[9:].partition(b"\r\n")[0].decode("utf-8", "replace")
    return ConnectionLostError(f"the server did not read: {words}")
