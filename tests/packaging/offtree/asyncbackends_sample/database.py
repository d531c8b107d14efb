"""The configuration database of the sample engine."""

from collections.abc import Sequence

from asyncbackends import ConfigDatabase
from asyncbackends_memory import MemoryDatabaseOptions
from asyncbackends_memory.database import MemoryConfigDatabase

__all__ = ("SampleConfigDatabase",)


class SampleConfigDatabase(MemoryConfigDatabase):
    """What a real engine writes itself; wrapping another one is what this sample does."""

    engine = "sample"

    def __init__(self, endpoints: Sequence[str], options: MemoryDatabaseOptions) -> None:
        super().__init__(endpoints, options)
        # So errors and log records name this engine.
        self._session.seam.engine = self.engine


_: type[ConfigDatabase] = SampleConfigDatabase
