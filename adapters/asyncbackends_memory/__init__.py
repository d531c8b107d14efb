"""The embedded engine that keeps everything in this process: the reference semantics.

``faults(name)`` gives the switchboard with which users test their own failure paths.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from asyncbackends.protocols.backend import Kind
from asyncbackends.registry import Engine
from asyncbackends_memory.options import DATABASE_GUARANTEES, MemoryDatabaseOptions
from asyncbackends_memory.switchboard import Faults, faults

if TYPE_CHECKING:
    from asyncbackends_memory.database import MemoryConfigDatabase

__all__ = ("Faults", "MemoryDatabaseOptions", "config_database", "faults")


def _load() -> "Callable[[Sequence[str], MemoryDatabaseOptions], MemoryConfigDatabase]":
    from asyncbackends_memory.database import MemoryConfigDatabase  # noqa: PLC0415  # late

    return MemoryConfigDatabase


config_database: "Engine[MemoryDatabaseOptions, MemoryConfigDatabase]" = Engine(
    kind=Kind.CONFIG_DATABASE,
    name="memory",
    options=MemoryDatabaseOptions,
    load=_load,
    guarantees=DATABASE_GUARANTEES,
)
