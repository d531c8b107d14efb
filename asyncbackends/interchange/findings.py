"""What is found in a dump: damage that is lost, and oddities that are put right. Pure."""

from collections import Counter
from typing import Final

import msgspec

__all__ = ("Findings", "Issue")

KEPT_DAMAGE: Final = 10_000
KEPT_WARNINGS: Final = 1_000


class Issue(msgspec.Struct, frozen=True):
    """One thing: where it stands and what is wrong with it."""

    row: str
    column: str
    """Empty for the whole row."""
    reason: str

    def __str__(self) -> str:
        where = f"{self.row}: {self.column}" if self.column else self.row
        return f"{where}: {self.reason}"


class Findings:
    """Damage (it is not loaded), warnings (it is, put right), and notes (what was passed over).

    All are counted; of each only the first are kept, so that memory stays bounded.
    """

    def __init__(self) -> None:
        self.damaged: list[Issue] = []
        self.damaged_count = 0
        self.warnings: dict[str, list[Issue]] = {}
        self.warning_counts: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()

    def damage(self, row: str, column: str, reason: str) -> None:
        """Count damage: a row, or only a column of it, is not loaded."""
        self.damaged_count += 1
        if len(self.damaged) < KEPT_DAMAGE:
            self.damaged.append(Issue(row, column, reason))

    def warn(self, kind: str, row: str, column: str, reason: str) -> None:
        """Count an oddity of a kind that is named in words."""
        self.warning_counts[kind] += 1
        kept = self.warnings.setdefault(kind, [])
        if len(kept) < KEPT_WARNINGS:
            kept.append(Issue(row, column, reason))

    def note(self, kind: str, times: int = 1) -> None:
        """Count what needs no line of its own."""
        self.notes[kind] += times
