"""What outlives the links of one client: its sessions, and what it was told of nodes."""

import asyncio
from collections import OrderedDict
from typing import Final

from asyncbackends_nats.tree.records import Record

__all__ = ("Memory", "OwnSession")

MOST_KNOWN: Final = 4096


class OwnSession:
    """A session that this client has opened."""

    def __init__(self, ttl: float, sequence: int) -> None:
        self.ttl = ttl
        self.sequence = sequence
        """Of its message, as far as it is known: a renewal whose answer was lost may be later."""
        self.owned: dict[str, Record] = {}
        """The nodes that go with it, by subject."""
        self.entries: set[str] = set()
        """The subjects of those that are contenders' entries."""
        self.settled = asyncio.Event()
        """Set while no renewal is on its way: what follows one needs the sequence it makes."""
        self.settled.set()


class Memory:
    """What the links of one client leave to those after them."""

    def __init__(self) -> None:
        self.replicas: int | None = None
        """So many servers keep the stream, once it was found."""
        self.sessions: dict[str, OwnSession] = {}
        self.contended: dict[str, float] = {}
        """When it was last said of a path that contenders come and go there."""
        self.first_entries: dict[str, int] = {}
        """A sequence, by path, before which there is no contender's entry any more."""
        self._known: OrderedDict[str, Record] = OrderedDict()
        """Nodes as they were last seen. The server checks whether that is still so."""

    def known(self, path: str) -> Record | None:
        """Give a node as it was last seen."""
        return self._known.get(path)

    def learn_first(self, path: str, sequence: int) -> None:
        """Know that no entry on a path is older than this, nor ever will be."""
        if len(self.first_entries) >= MOST_KNOWN:
            self.first_entries.clear()
        self.first_entries[path] = max(sequence, self.first_entries.get(path, 0))

    def learn(self, record: Record) -> None:
        """Remember a node, without its value."""
        self._known[record.path] = record
        self._known.move_to_end(record.path)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    def forget(self, path: str) -> None:
        """Forget a node."""
        self._known.pop(path, None)

    def forget_nodes(self) -> None:
        """Forget what belongs to another life of the stream, perhaps."""
        self._known.clear()
        self.contended.clear()
        self.first_entries.clear()
