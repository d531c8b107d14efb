"""What is known of nodes that were read or made: so that an update needs no read before it."""

from typing import Final

from asyncbackends_etcd.envelope import Held

__all__ = ("Known",)

MOST: Final = 2000


class Known:
    """The heads of the nodes last seen; what is in it may be over, and is compared by who uses it."""

    def __init__(self) -> None:
        self._nodes: dict[str, tuple[bytes, int, int]] = {}

    def note(self, held: Held) -> None:
        """Note a node that was read."""
        if held.is_plain:
            self.note_made(held.path, held.head, held.kv.create_revision, held.kv.lease)

    def note_made(self, path: str, head: bytes, created: int, lease: int) -> None:
        """Note a node that was made, with what its value begins with."""
        nodes = self._nodes
        nodes.pop(path, None)
        nodes[path] = head, created, lease
        if len(nodes) > MOST:
            del nodes[next(iter(nodes))]

    def of(self, path: str) -> tuple[bytes, int, int] | None:
        """Give head, revision and lease of a node."""
        return self._nodes.get(path)

    def forget(self, path: str) -> None:
        """Forget one that is over."""
        self._nodes.pop(path, None)
