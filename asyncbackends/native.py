"""The operating system's threads, also in a process that gevent has monkey-patched.

An engine that needs a thread of its own takes it from here. The interpreter's own primitives are
looked up at every call, so it makes no difference whether gevent patched before or after this
module was imported, and gevent itself is never imported.

Such a thread runs only the driver: it does not log or import, answers by
``loop.call_soon_threadsafe``, and ends by an item in its queue.
"""

import _thread
import sys
from _queue import SimpleQueue
from collections.abc import Callable
from typing import Any, cast

__all__ = ("SimpleQueue", "allocate_lock", "start_thread", "thread_ident")


def _original(name: str) -> Callable[..., Any]:
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None:
        return cast("Callable[..., Any]", getattr(_thread, name))
    return cast("Callable[..., Any]", monkey.get_original("_thread", name))


def start_thread(function: Callable[..., object], *arguments: object) -> int:
    """Run ``function(*arguments)`` in a new native thread and return the thread's ident.

    The thread does not keep the process alive; its owner ends it through its queue.
    """
    ident: int = _original("start_new_thread")(function, arguments)
    return ident


def allocate_lock() -> Any:
    """Return a native lock, unlocked, with ``acquire(blocking, timeout)`` and ``release()``."""
    return _original("allocate_lock")()


def thread_ident() -> int:
    """Return the ident of the calling native thread, the same for every greenlet in it."""
    ident: int = _original("get_ident")()
    return ident
