"""Sends write units that wait at the same time as one.

All units of a database end one after the other, since each takes its revision last and keeps the
counter until it is on disk. So what comes while enough units are on their way waits, and goes
together: one round trip and one commit for many writers. A group that is refused is sent again
unit by unit, so that nobody's refusal is another's.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from asyncbackends.errors import BackendError
from asyncbackends.sql.effects import Applied, Effects
from asyncbackends.sql.pool import Pool
from asyncbackends.sql.server import Contended, Refused

__all__ = ("Grouping", "Start", "merged")

ON_THEIR_WAY: Final = 2
"""So many at once: one is prepared by the server while the other one is written to its disk."""
LARGEST: Final = 64
"""Units in a group; a group that is refused costs a round trip for each."""
LONGEST: Final = 256 * 1024
"""Characters of documents and elements in a group."""

Start = Callable[[Coroutine[Any, Any, None]], object]
"""Starts a task that the backend owns, or raises a BackendError when it is closed."""


class _Waiting:
    """A unit that waits for others on their way, or is on its way with others."""

    __slots__ = ("answer", "effects", "sent")

    def __init__(self, effects: Effects, answer: asyncio.Future[Applied]) -> None:
        self.effects = effects
        self.answer = answer
        self.sent = False


class Grouping:
    """The units of one backend on their way to the server."""

    def __init__(self, pool: Pool, start: Start, seconds: float) -> None:
        """Send over the connections of a pool.

        :param seconds: a group has at most so many; who waits has a deadline of its own.
        """
        self._pool = pool
        self._start = start
        self._seconds = seconds
        self._on_their_way = 0
        self._waiting: deque[_Waiting] = deque()

    async def apply(self, effects: Effects, sending: Callable[[], None]) -> Applied:
        """Apply a unit, alone or with others.

        :param sending: is called before it is sent, for from then on it may be applied.
        :raises Refused, Contended: it was not applied.
        """
        if self._on_their_way >= ON_THEIR_WAY and _may_join(effects):
            return await self._join(effects, sending)
        self._on_their_way += 1
        try:
            async with self._pool.connection() as connection:
                sending()
                return await connection.apply(effects)
        finally:
            self._on_their_way -= 1
            self._go_on()

    async def _join(self, effects: Effects, sending: Callable[[], None]) -> Applied:
        waiting = _Waiting(effects, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            return await waiting.answer
        finally:
            if waiting.sent:
                sending()
            elif waiting in self._waiting:
                self._waiting.remove(waiting)

    def _go_on(self) -> None:
        while self._waiting and self._on_their_way < ON_THEIR_WAY:
            group = self._next_group()
            self._on_their_way += 1
            try:
                self._start(self._send(group))
            except BackendError as closed:
                self._on_their_way -= 1
                _fail(group, closed)

    def _next_group(self) -> list[_Waiting]:
        """Take those from the front that do not touch the same rows."""
        group = [self._waiting.popleft()]
        touched = _rows_touched(group[0].effects)
        length = _length(group[0].effects)
        while self._waiting and len(group) < LARGEST:
            candidate = self._waiting[0].effects
            rows = _rows_touched(candidate)
            length += _length(candidate)
            if touched & rows or length > LONGEST or candidate.stamp != group[0].effects.stamp:
                break
            touched |= rows
            group.append(self._waiting.popleft())
        return group

    async def _send(self, group: Sequence[_Waiting]) -> None:
        try:
            async with asyncio.timeout(self._seconds), self._pool.connection() as connection:
                try:
                    await self._send_on(connection.apply, group)
                except Refused:
                    if len(group) == 1:
                        raise
                    for one in group:
                        await self._send_one(connection.apply, one)
        except Exception as error:  # noqa: BLE001  # it is handed to those who wait
            _fail(group, error)
        except BaseException:
            _fail(group, BackendError("the config database was closed meanwhile"))
            raise
        finally:
            self._on_their_way -= 1
            self._go_on()

    async def _send_one(
        self, apply: Callable[[Effects], Coroutine[Any, Any, Applied]], one: _Waiting
    ) -> None:
        try:
            await self._send_on(apply, [one])
        except (Refused, Contended) as refusal:
            _fail([one], refusal)

    async def _send_on(
        self,
        apply: Callable[[Effects], Coroutine[Any, Any, Applied]],
        group: Sequence[_Waiting],
    ) -> None:
        group = [one for one in group if not one.answer.done()]
        if not group:
            return
        for one in group:
            one.sent = True
        try:
            applied = await apply(merged([one.effects for one in group]))
        except (Refused, Contended):
            for one in group:
                one.sent = False
            raise
        before = applied.before
        for one in group:
            if not one.answer.done():
                one.answer.set_result(Applied(before, applied.now))
            before += one.effects.revisions


def _fail(group: Sequence[_Waiting], error: Exception) -> None:
    for one in group:
        if not one.answer.done():
            one.answer.set_exception(error)


def _may_join(effects: Effects) -> bool:
    """Say whether a unit may go with others: what it takes away may be another's target."""
    return effects.fence is None and not effects.gone and not effects.buried


def _length(effects: Effects) -> int:
    return sum(len(text) for _, text in effects.documents) + sum(
        len(one.value) + 64 for one in effects.elements
    )


def _rows_touched(effects: Effects) -> set[object]:
    """Give names for all that a unit puts, takes away or guards."""
    touched: set[object] = {one.uuid for one in effects.changes}
    if effects.appended is not None:
        # A unit appends once.
        touched.add("appended")
    touched.update(one.uuid for one in effects.guards)
    touched.update((one.type, one.fq) for one in effects.objects)
    touched.update(one.from_uuid for one in effects.refs)
    touched.update(one.from_uuid for one in effects.refs_relaxed)
    touched.update(one[:4] for one in effects.shares)
    touched.update(name for name, _ in effects.useragent)
    touched.update((one.row_table, one.name) for one in effects.kv_rows)
    return touched


def merged(units: Sequence[Effects]) -> Effects:
    """Give one unit that does what these do, in their order."""
    if len(units) == 1:
        return units[0]
    whole = Effects(stamp=units[0].stamp)
    for unit in units:
        offset = whole.revisions
        whole.guards += unit.guards
        whole.targets += [one for one in unit.targets if one not in whole.targets]
        whole.needed_refs += unit.needed_refs
        whole.objects += unit.objects
        whole.documents += unit.documents
        whole.elements += unit.elements
        whole.appended = whole.appended or unit.appended
        whole.elements_gone += unit.elements_gone
        whole.refs += unit.refs
        whole.refs_gone += unit.refs_gone
        whole.refs_relaxed += unit.refs_relaxed
        whole.indexes += unit.indexes
        whole.indexes_gone += unit.indexes_gone
        whole.shares += unit.shares
        whole.useragent += unit.useragent
        whole.kv_rows += [one._replace(offset=one.offset + offset) for one in unit.kv_rows]
        whole.changes += [one._replace(offset=one.offset + offset) for one in unit.changes]
        whole.revisions += unit.revisions
    return whole
