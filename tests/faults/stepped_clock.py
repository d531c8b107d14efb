"""A wall clock of this process that is set forward and back."""

import time
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ("ClockSteps", "stepped_clock")

_time, _time_ns = time.time, time.time_ns
_steps: list["ClockSteps"] = []


class ClockSteps:
    """How far the clock was set; nothing else moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def step(self, seconds: float) -> None:
        """Set it."""
        self.seconds += seconds


@contextmanager
def stepped_clock() -> Generator[ClockSteps]:
    """Have a clock that can be set, for all that asks ``time`` for it.

    Scenarios that happen side by side have one process, so one clock, which is right again when
    the last of them is over, whichever that is.
    """
    steps = ClockSteps()
    _steps.append(steps)
    time.time = lambda: _time() + sum(each.seconds for each in _steps)
    time.time_ns = lambda: _time_ns() + round(sum(each.seconds for each in _steps) * 1e9)
    try:
        yield steps
    finally:
        _steps.remove(steps)
        if not _steps:
            time.time, time.time_ns = _time, _time_ns
