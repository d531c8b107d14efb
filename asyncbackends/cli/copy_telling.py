"""What ``copy`` says, and how its operator answers."""

import asyncio
import signal
import sys
import time
from types import FrameType
from typing import Any, Final

import msgspec

from asyncbackends.cli.screen import Screen
from asyncbackends.interchange.copying import CopyReport

__all__ = ("Operator", "Telling", "report_json", "show_report")

EVERY: Final = 1.0
WAITING_EVERY: Final = 5.0
SHOWN: Final = 20

NOT_LISTED: Final = (
    "rows of tables that no --table names",
    "texts of the useragent store that --texts does not name",
    "shares that are neither global nor named by an object's perms2 or --share",
)


class Operator:
    """Hears from the operator that nobody writes any more: by Ctrl-C, or Enter on a terminal."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: Any = None

    def listen(self) -> None:
        """Take Ctrl-C as that, from now on."""
        self._loop = asyncio.get_running_loop()
        self._before = signal.signal(signal.SIGINT, self._hear)
        if sys.stdin is not None and sys.stdin.isatty():
            self._loop.add_reader(sys.stdin.fileno(), self._read)

    def leave(self) -> None:
        """Let Ctrl-C interrupt again."""
        if self._loop is not None:
            signal.signal(signal.SIGINT, self._before)
            if sys.stdin is not None and sys.stdin.isatty():
                self._loop.remove_reader(sys.stdin.fileno())
            self._loop = None

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)

    def _read(self) -> None:
        sys.stdin.readline()
        self._stop.set()


class Telling:
    """Tells people by a progress bar and lines, machines by JSON lines; both on standard error."""

    def __init__(self, screen: Screen, *, as_json: bool) -> None:
        self._screen = screen
        self._as_json = as_json
        self._told: dict[str, float] = {}
        self._where = ""
        self.operator: Operator | None = None

    @property
    def where(self) -> str:
        """How far the copy was, for the end of a sentence."""
        return self._where and f", {self._where}"

    def progress(self, what: str, done: int, total: int | None = None) -> None:
        """Show how far something is."""
        self._where = f"{what}: {done}" + (f" of {total}" if total else "")
        if not self._as_json:
            self._screen.progress(what, done, total)
        elif done == total or self._is_due(what, EVERY):
            self._line("progress", what=what, done=done, total=total)

    def event(self, name: str, text: str, **data: Any) -> None:
        """Say what happened."""
        if name == "waiting" and not self._is_due(name, WAITING_EVERY):
            return
        if self.operator is not None:
            if name == "in_step":
                self.operator.listen()
                text += " and press Ctrl-C"
            elif name == "finishing":
                self.operator.leave()
        if self._as_json:
            self._line(name, text=text, **data)
        else:
            self._screen.complain(text)

    def _is_due(self, what: str, seconds: float) -> bool:
        now = time.monotonic()
        if now - self._told.get(what, -seconds) < seconds:
            return False
        self._told[what] = now
        return True

    def _line(self, name: str, **data: Any) -> None:
        self._screen.complain(msgspec.json.encode({"event": name, **data}).decode())


def report_json(report: CopyReport, source: str, target: str, *, wrote: bool) -> dict[str, Any]:
    """Give the report for machines."""
    plain: dict[str, Any] = msgspec.to_builtins(report)
    found = plain.pop("differences")
    return {
        "source": source,
        "target": target,
        "wrote": wrote,
        "equal": not report.differences.count,
        **plain,
        "difference_count": found["count"],
        "differences": found["first"],
        "not_listed": list(NOT_LISTED),
    }


def show_report(
    report: CopyReport, source: str, target: str, screen: Screen, *, wrote: bool
) -> None:
    """Show the report to people."""
    for found in report.differences.first[:SHOWN]:
        screen.say(f"{screen.paint(found.kind, 'red')} {found}")
    left = report.differences.count - len(report.differences.first[:SHOWN])
    if left > 0:
        screen.say(f"and {left} more")
    written = report.written
    if wrote:
        screen.say(f"from {source} to {target}{', resumed' if report.resumed else ''}")
        screen.say(
            f"{written.created} objects created, {written.updated} updated, {written.deleted}"
            f" deleted; {written.linked} with refs, {written.relaxed} refs relaxed;"
            f" {written.beside} shares, rows and texts"
        )
        screen.say(
            f"{report.changes} changes meanwhile, in step at revision {report.revision};"
            f" {report.changed_meanwhile} objects looked at again, {report.put_right} put right"
        )
    beside = {"shares": report.shares, "rows": report.rows, "texts": report.texts}
    counted = ", ".join(
        [f"{report.objects} objects", *(f"{n} {what}" for what, n in beside.items())]
    )
    verdict = "equal" if not report.differences.count else f"{report.differences.count} differ"
    colour = "red" if report.differences.count else "green"
    screen.say(f"compared {counted}: {screen.paint(verdict, colour)}")
    if report.absent_texts:
        screen.say(f"the source has no text under {report.absent_texts} of the keys")
    seconds = ", ".join(f"{phase} {took:g} s" for phase, took in report.seconds.items())
    screen.say(seconds)
    screen.say(f"{screen.paint('not looked at:', 'dim')} {'; '.join(NOT_LISTED)}")
    if report.differences.count and wrote:
        screen.complain(
            "asyncbackends: the target is not equal to the source; the same command makes it so,"
            " unless a reason stands above"
        )
