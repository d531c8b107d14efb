"""What a copy counts, and what it has to say at its end."""

from typing import Final, Literal

import msgspec

from asyncbackends.interchange.copying_sides import Pair

__all__ = ("Difference", "Differences", "Tally", "Troubles")

KEPT: Final = 1000


class Tally(msgspec.Struct):
    """What was done to the target."""

    created: int = 0
    updated: int = 0
    deleted: int = 0
    linked: int = 0
    """Objects whose refs were written."""
    relaxed: int = 0
    beside: int = 0
    """Shares, rows and texts that were written or ended."""


class Difference(msgspec.Struct, frozen=True):
    """Something that is not in the target as it is in the source."""

    kind: Literal["missing", "surplus", "differs"]
    what: str
    """An object's type; ``share``, ``row`` or ``text``."""
    id: str
    name: str = ""
    """An object's fq_name, its parts with colons between."""
    reason: str = ""

    def __str__(self) -> str:
        named = f" ({self.name})" if self.name else ""
        reason = f": {self.reason}" if self.reason else ""
        return f"{self.what} {self.id}{named}{reason}"


class Differences(msgspec.Struct):
    """All of them are counted, the first are kept."""

    count: int = 0
    first: list[Difference] = []

    def add(self, difference: Difference) -> None:
        """Take one."""
        self.count += 1
        if len(self.first) < KEPT:
            self.first.append(difference)


class Troubles:
    """Why objects could not be made as they are in the source; of many the first are kept."""

    def __init__(self) -> None:
        self._reasons: dict[Pair, str] = {}

    def note(self, pair: Pair, reason: str) -> None:
        """Remember the latest reason."""
        if pair in self._reasons or len(self._reasons) < KEPT:
            self._reasons[pair] = reason

    def of(self, pair: Pair) -> str:
        """Give the reason, "" for none."""
        return self._reasons.get(pair, "")

    def forget(self, pair: Pair) -> None:
        """Hear that it is looked at again."""
        self._reasons.pop(pair, None)
