"""Where servers keep their data while tests run."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir
from typing import Final

import psutil

from tests.servers.process import ordinary_account

__all__ = ("folder_for_data", "temporary_folders")

MEMORY: Final = Path("/dev/shm")  # noqa: S108  # mkdtemp follows
TEMPORARY: Final = ("/tmp", "/var/tmp")  # noqa: S108  # mkdtemp follows
ROOM: Final = 8 * 1024**3
"""Bytes that must be free for data in memory, and as many that nobody uses: a run needs one or two."""


def folder_for_data(*, in_memory: bool) -> Path:
    """Choose a folder that the accounts which run servers can enter."""
    account = ordinary_account()
    if in_memory and _has_room() and account.can_execute(MEMORY):
        return MEMORY
    return next(
        found for found in map(Path, (gettempdir(), *TEMPORARY)) if account.can_execute(found)
    )


def temporary_folders() -> Iterator[Path]:
    """Give all that :func:`folder_for_data` may have chosen."""
    return map(Path, dict.fromkeys((str(MEMORY), gettempdir(), *TEMPORARY)))


def _has_room() -> bool:
    if not MEMORY.is_dir():
        return False
    found = os.statvfs(MEMORY)
    # Some servers are started by a script beside their data.
    runs_programs = not found.f_flag & os.ST_NOEXEC
    is_large = found.f_bavail * found.f_frsize > ROOM
    return runs_programs and is_large and psutil.virtual_memory().available > 2 * ROOM
