"""The memory engine implements the Protocol."""

from asyncbackends.protocols.coordination import DistributedCoordinationService
from asyncbackends_memory.tree.service import MemoryCoordinationService

_: type[DistributedCoordinationService] = MemoryCoordinationService
