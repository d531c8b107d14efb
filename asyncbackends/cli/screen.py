"""Everything that the command line prints goes through here."""

import os
import sys
import time
from collections.abc import Sequence
from typing import Any, Final, TextIO

import msgspec

__all__ = ("Screen",)

REDRAW: Final = 0.1
BAR: Final = 30
STYLES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


class Screen:
    """Standard output for results, standard error for progress and complaints.

    Styles are used only on a terminal, and never where NO_COLOR is set; the progress bar only on a
    terminal.
    """

    def __init__(self) -> None:
        self._out: TextIO = sys.stdout
        self._err: TextIO = sys.stderr
        self._styled = _takes_styles(self._out)
        self._bars = self._err.isatty()
        self._drawn_at = 0.0
        self._drawn = False

    def say(self, text: str = "") -> None:
        """Print a line of the result."""
        self._clear()
        print(text, file=self._out)

    def complain(self, text: str) -> None:
        """Print a line to standard error."""
        self._clear()
        print(text, file=self._err, flush=True)

    def json(self, value: Any) -> None:
        """Print a result for machines."""
        self.say(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print rows in columns."""
        widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
        for number, row in enumerate([headers, *rows]):
            line = "  ".join(
                cell.ljust(width) for cell, width in zip(row, widths, strict=True)
            ).rstrip()
            self.say(line if number else self.paint(line, "bold"))

    def paint(self, text: str, style: str) -> str:
        """Give text in a style, where styles are used."""
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if self._styled else text

    def progress(self, what: str, done: int, total: int | None = None) -> None:
        """Show how far something is."""
        now = time.monotonic()
        if not self._bars or (now - self._drawn_at < REDRAW and done != total):
            return
        self._drawn_at, self._drawn = now, True
        if total:
            filled = min(BAR, BAR * done // total)
            bar = f"[{'#' * filled}{'.' * (BAR - filled)}] {done} of {total}"
        else:
            bar = str(done)
        print(f"\r\x1b[K{what}: {bar}", end="", file=self._err, flush=True)

    def _clear(self) -> None:
        if self._drawn:
            print("\r\x1b[K", end="", file=self._err, flush=True)
            self._drawn = False

    def close(self) -> None:
        """Take the progress bar away and let everything be written."""
        self._clear()
        self._out.flush()


def _takes_styles(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
