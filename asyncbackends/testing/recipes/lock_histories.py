"""Histories of a lock and of what it protects, and whether they can be right.

Pure: whoever runs clients records what happened, in order, and hands it in.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from asyncbackends.protocols.values import Fence

__all__ = ("FencedRegister", "LockEvent", "violations_of")


class LockEvent(msgspec.Struct, frozen=True):
    """What happened to a holder, or to the register that the lock protects.

    - ``acquired``: a client was told that it holds the lock, with this fence;
    - ``released``: it is done, and is about to say so;
    - ``lost``: it was told that its session is LOST;
    - ``forgotten``: the service ended its session before its time; no client can know in time;
    - ``accepted``, ``refused``: its write arrived: it had read ``saw`` and wrote ``wrote``; with
      None it only raised the fence, before it read.
    """

    kind: Literal["acquired", "released", "lost", "forgotten", "accepted", "refused"]
    fence: Fence
    saw: int | None = None
    wrote: int | None = None

    def __str__(self) -> str:
        change = "" if self.wrote is None else f" {self.saw}->{self.wrote}"
        return f"{self.kind} {self.fence.token}{change}"


class FencedRegister:
    """A number behind a fence, as a database keeps it: it refuses a fence lower than the highest.

    :param history: what arrives is recorded here.
    :param fenced: without it everything is accepted, as by a store that knows no fences.
    """

    def __init__(self, history: list[LockEvent], *, fenced: bool = True) -> None:
        self.value = 0
        self._history = history
        self._fenced = fenced
        self._highest = (0, 0)

    def raise_to(self, fence: Fence) -> bool:
        """Let nobody with a lower fence write from now on; what a holder does before it reads."""
        return self._arrive(fence, None, None)

    def write(self, fence: Fence, saw: int, wrote: int) -> bool:
        """Store a number that was made of the one that was read, unless the fence is too low."""
        accepted = self._arrive(fence, saw, wrote)
        if accepted:
            self.value = wrote
        return accepted

    def _arrive(self, fence: Fence, saw: int | None, wrote: int | None) -> bool:
        accepted = fence.order >= self._highest or not self._fenced
        self._highest = max(self._highest, fence.order)
        self._history.append(LockEvent("accepted" if accepted else "refused", fence, saw, wrote))
        return accepted


def violations_of(history: Sequence[LockEvent]) -> list[str]:
    """Say what is wrong with a history, in its order; nothing if it is right.

    - Each holder's fence is higher than that of every holder before it.
    - Nobody is told that it holds the lock while another does that has neither released nor lost
      it, unless the service itself had forgotten that one.
    - The fences of accepted writes never go down, and what is not too low is not refused.
    - No update is lost: what an accepted write was made of is what the one before it left. So two
      holders' writes never interleave.
    """
    reader = _Reader()
    for number, event in enumerate(history):
        reader.read(number, event)
    return reader.violations


class _Reader:
    def __init__(self) -> None:
        self.violations: list[str] = []
        self._granted: tuple[int, int] | None = None
        self._holding: dict[tuple[int, int], LockEvent] = {}
        self._highest = (0, 0)
        self._value = 0

    def read(self, number: int, event: LockEvent) -> None:
        """Take the next event."""
        order = event.fence.order
        match event.kind:
            case "acquired":
                if self._granted is not None and order <= self._granted:
                    self._say(number, event, f"after a holder with {self._granted[1]}")
                for other in self._holding.values():
                    self._say(number, event, f"while {other.fence.token} holds it")
                self._granted = max(order, self._granted or order)
                self._holding[order] = event
            case "accepted":
                self._accepted(number, event)
            case "refused":
                if order >= self._highest:
                    self._say(number, event, "though no higher fence was seen")
            case _:
                self._holding.pop(order, None)

    def _accepted(self, number: int, event: LockEvent) -> None:
        order = event.fence.order
        if order < self._highest:
            self._say(number, event, f"after {self._highest[1]}")
        self._highest = max(self._highest, order)
        if event.wrote is not None:
            if event.saw != self._value:
                self._say(number, event, f"though {self._value} was there: an update is lost")
            self._value = event.wrote

    def _say(self, number: int, event: LockEvent, what: str) -> None:
        self.violations.append(f"event {number}: {event} {what}")
