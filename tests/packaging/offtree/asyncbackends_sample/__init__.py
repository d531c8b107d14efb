"""A sample engine in a distribution of its own: the memory engine under another name."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import asyncbackends_memory
from asyncbackends.protocols.backend import Kind
from asyncbackends.registry import Engine

if TYPE_CHECKING:
    from asyncbackends_sample.database import SampleConfigDatabase

__all__ = ("SampleOptions", "config_database")


class SampleOptions(asyncbackends_memory.MemoryDatabaseOptions, frozen=True, kw_only=True):
    """Options of the sample engine: those that every one has."""


def _load() -> "Callable[[Sequence[str], SampleOptions], SampleConfigDatabase]":
    from asyncbackends_sample.database import SampleConfigDatabase  # noqa: PLC0415  # imports the driver, where there is one

    return SampleConfigDatabase


config_database = Engine(
    kind=Kind.CONFIG_DATABASE,
    name="sample",
    options=SampleOptions,
    load=_load,
    guarantees=asyncbackends_memory.config_database.guarantees,
    limits=asyncbackends_memory.config_database.limits,
)
