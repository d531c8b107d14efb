"""The clock that histories set is right again after them."""

import time
from contextlib import ExitStack

from tests.faults.stepped_clock import stepped_clock

HOUR = 3600.0


def test_clock_is_right_after_scenarios_that_overlap() -> None:
    real = time.time
    one, two = ExitStack(), ExitStack()
    one.enter_context(stepped_clock()).step(HOUR)
    two.enter_context(stepped_clock()).step(HOUR)
    assert 2 * HOUR - 60 < time.time() - real() < 2 * HOUR + 60
    one.close()
    assert HOUR - 60 < time.time() - real() < HOUR + 60
    assert abs(time.time_ns() / 1e9 - time.time()) < 60
    two.close()
    assert time.time is real
