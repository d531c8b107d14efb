"""Events that a watch has not given yet: bounded by the number of paths, not by that of changes."""

from collections import OrderedDict
from itertools import count
from typing import Final

import msgspec

from asyncbackends.coordination.paths import is_below
from asyncbackends.protocols.nodes import NodeEvent

__all__ = ("MAX_PENDING", "PendingEvents")

MAX_PENDING: Final = 10_000


class PendingEvents:
    """A level-triggered queue of events that arrive in the order of their revisions.

    What is pending of one path alternates between coming and going, and is at most one event of
    each kind; the last state is always among them. Updates show as one ``updated`` with the last
    state, or as part of a pending ``created``, which keeps its place. A node that went and came is
    ``deleted`` and ``created``, one that came and went is ``created`` and ``deleted``; what came
    and went in between shows no more, nor what came and went below that. So a node is never
    created before its parent or deleted before its children, and revisions never go back.

    :param limit: so many paths may have pending events.
    """

    def __init__(self, limit: int = MAX_PENDING) -> None:
        self._limit = limit
        self._numbers = count()
        self._events: OrderedDict[int, NodeEvent] = OrderedDict()
        self._of_path: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self._events)

    def clear(self) -> None:
        """Forget all."""
        self._events.clear()
        self._of_path.clear()

    def pop(self) -> NodeEvent | None:
        """Take the first event, None if there is none."""
        if not self._events:
            return None
        _, event = self._events.popitem(last=False)
        numbers = self._of_path[event.path]
        del numbers[0]
        if not numbers:
            del self._of_path[event.path]
        return event

    def offer(self, event: NodeEvent) -> bool:
        """Take in an event; False: too many paths are pending, and it was not taken."""
        numbers = self._of_path.get(event.path)
        if numbers is None:
            if len(self._of_path) >= self._limit:
                return False
            self._of_path[event.path] = [self._append(event)]
            return True
        last = self._events[numbers[-1]]
        if event.kind == "updated" and last.kind == "created":
            self._events[numbers[-1]] = msgspec.structs.replace(
                last, stat=event.stat, value=event.value
            )
            return True
        if last.kind == "updated":
            del self._events[numbers.pop()]
        elif len(numbers) > 1:
            came = numbers.pop() if event.kind == "deleted" else numbers.pop(0)
            self._drop_life(event.path, came)
            if event.kind == "deleted":
                return True  # it went already, and who reads does not know that it was back
            del self._events[numbers.pop()]
        numbers.append(self._append(event))
        return True

    def _append(self, event: NodeEvent) -> int:
        number = next(self._numbers)
        self._events[number] = event
        return number

    def _drop_life(self, path: str, came: int) -> None:
        """Drop a ``created``, and what came and went below it."""
        stat = self._events.pop(came).stat
        if stat is not None and stat.ephemeral_owner is not None:
            return
        below = [
            one
            for one, numbers in self._of_path.items()
            if len(numbers) > 1 and numbers[0] > came and is_below(one, path)
        ]
        for one in below:
            for number in self._of_path.pop(one):
                del self._events[number]
