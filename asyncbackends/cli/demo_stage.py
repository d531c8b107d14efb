"""The stage of the demo: what happens, how long it takes, whether every promise held."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from asyncbackends.cli.screen import Screen
from asyncbackends.protocols.config_database import ConfigDatabase

__all__ = ("Stage",)

COUNTED: Final = ("objects", "messages", "redelivered", "dead letters", "elections")


class Stage:
    """Prints what happens, with times, and remembers whether every promise held."""

    def __init__(self, screen: Screen, database: ConfigDatabase) -> None:
        self.screen = screen
        self.database = database
        self.whole = True
        self._seconds: list[tuple[str, float]] = []
        self._counts: dict[str, int] = dict.fromkeys(COUNTED, 0)

    @contextmanager
    def step(self, title: str) -> Generator[None]:
        """Print a step's title, and behind its lines how long it took."""
        title = f"{len(self._seconds) + 1}. {title}"
        self.screen.say()
        self.screen.say(self.screen.paint(title, "bold"))
        began = time.perf_counter()
        yield
        seconds = time.perf_counter() - began
        self._seconds.append((title, seconds))
        self.say(self.screen.paint(f"{seconds:.3f} s", "dim"))

    def say(self, line: str) -> None:
        """Print a line of the step."""
        self.screen.say(f"   {line}")

    def prove(self, line: str, *, holds: bool) -> None:
        """Print what was promised, and whether it held."""
        mark = self.screen.paint("ok", "green") if holds else self.screen.paint("BROKEN", "red")
        self.whole = self.whole and holds
        self.say(f"{mark} {line}")

    def count(self, what: str, number: int) -> None:
        """Add to one of the totals."""
        self._counts[what] += number

    def show_totals(self) -> None:
        """Print what there was of everything, and how long each step took."""
        self.screen.say()
        self.screen.table(
            ["STEP", "SECONDS"], [[title, f"{seconds:7.3f}"] for title, seconds in self._seconds]
        )
        self.screen.say()
        self.screen.table(
            [what.upper() for what in self._counts],
            [[str(number) for number in self._counts.values()]],
        )
