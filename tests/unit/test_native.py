"""The operating system's threads: real ones, also where gevent has patched the process."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from asyncbackends import native

ROOT = Path(__file__).parents[2]


def test_thread_runs_beside_the_caller() -> None:
    answers: native.SimpleQueue[tuple[int, str]] = native.SimpleQueue()

    def answer(word: str) -> None:
        answers.put((native.thread_ident(), word))

    ident = native.start_thread(answer, "hello")
    assert answers.get(timeout=5) == (ident, "hello")
    assert ident != native.thread_ident()


def test_lock_is_native_and_unlocked() -> None:
    lock = native.allocate_lock()
    assert lock.acquire(False, -1)
    assert not lock.acquire(True, 0.01)
    lock.release()
    with lock:
        assert lock.locked()


def test_nothing_of_gevent_is_imported() -> None:
    program = (
        "import sys, asyncbackends, asyncbackends.native as n; n.allocate_lock(); n.thread_ident();"
        " print([name for name in sys.modules if name.startswith('gevent')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


PROGRAM = """\
import sys
{before}
import threading, time
import gevent
from gevent import monkey
from asyncbackends import native
{after}

assert monkey.is_module_patched("threading")
native_sleep = monkey.get_original("time", "sleep")
ticks = []
asked, answers = native.SimpleQueue(), native.SimpleQueue()


def thread():
    while (item := asked.get()) is not None:
        native_sleep(0.02)
        answers.put((native.thread_ident(), item))


def tick():
    while True:
        ticks.append(1)
        gevent.sleep(0.002)


ticker = gevent.spawn(tick)
ident = native.start_thread(thread)
assert ident != native.thread_ident()
for number in range(5):
    asked.put(number)
    # The thread works while the greenlets of this one go on.
    while answers.empty():
        gevent.sleep(0.001)
    assert answers.get() == (ident, number)
lock = native.allocate_lock()
assert type(lock).__module__ == "_thread", type(lock)
assert lock.acquire(False)
lock.release()
asked.put(None)
ticker.kill()
print(len(ticks) > 20, ident)
"""
PATCH = "from gevent import monkey as m; m.patch_all()"


@pytest.mark.parametrize("when", ["before", "after"])
def test_threads_are_native_whether_gevent_patched_before_or_after(when: str) -> None:
    program = PROGRAM.format(
        before=PATCH if when == "before" else "", after=PATCH if when == "after" else ""
    )
    started = time.monotonic()
    done = subprocess.run(
        # Importing gevent.monkey late warns about what was imported before; so does Python.
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("True "), done.stdout
    assert time.monotonic() - started < 30
