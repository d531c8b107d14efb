"""Native threads, also where gevent has patched the interpreter's own."""

import subprocess
import sys
import threading

import pytest

from asyncbackends import native

PROGRAM = """
{imports}
import threading, time
from asyncbackends import native

answers, done = native.SimpleQueue(), native.allocate_lock()
done.acquire()

def work():
    answers.put(native.thread_ident())
    done.release()

started = native.start_thread(work)
# A native lock blocks the whole process, so this returns only if the thread is a real one.
assert done.acquire(True, 5), "the thread did not run: it is a greenlet"
assert answers.get() == started != native.thread_ident()
print("native")
"""


@pytest.mark.parametrize(
    "imports",
    [
        "",
        "from gevent import monkey; monkey.patch_all()",
        "import asyncbackends.native; from gevent import monkey; monkey.patch_all()",
    ],
    ids=["unpatched", "patched before", "patched after"],
)
def test_threads_are_real(imports: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(imports=imports)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (0, "native\n"), done.stderr


def test_the_idents_are_those_of_the_system() -> None:
    assert native.thread_ident() == threading.get_ident()
