"""Where a node is stored. Pure.

The key of ``/a/b`` is its path with the namespace before it. So what is below it is from
``<key>/`` up to ``<key>0``, ``0`` being what follows ``/``; what the root has is all from
``<namespace>/`` on. The root itself is nowhere: it always exists.
"""

from typing import Final

from asyncbackends.coordination.paths import ROOT

__all__ = ("Keys", "name_in")

SLASH, AFTER_SLASH = b"/", b"0"
NEXT: Final = b"\x00"
FIRST_HEX, AFTER_HEX = b"0", b"g"


class Keys:
    """The keys of one namespace."""

    def __init__(self, namespace: str) -> None:
        self._prefix = namespace.encode()

    def of(self, path: str) -> bytes:
        """Give the key of a node."""
        return self._prefix + path.encode()

    def below(self, path: str) -> tuple[bytes, bytes]:
        """Give the range of all below a node."""
        key = self._prefix if path == ROOT else self.of(path)
        return key + SLASH, key + AFTER_SLASH

    def tree(self, path: str) -> tuple[bytes, bytes]:
        """Give a range with a node and all below it; siblings as ``a-b`` of ``a`` may be in it."""
        start, end = self.below(path)
        return (start if path == ROOT else self.of(path)), end

    def entries(self, path: str) -> tuple[bytes, bytes]:
        """Give a range with all children whose names are hexadecimal, among others."""
        start, _ = self.below(path)
        return start + FIRST_HEX, start + AFTER_HEX

    def path(self, key: bytes) -> str | None:
        """Give the path of a key; None: somebody else put it there, and it is none of a node."""
        try:
            path = key[len(self._prefix) :].decode()
        except UnicodeDecodeError:
            return None
        if path.endswith(SLASH.decode()) or "//" in path or not path.startswith(ROOT):
            return None
        return path


def name_in(start: bytes, key: bytes) -> bytes:
    """Give the name of the direct child that a key is or is below, in the range from ``start``."""
    return key[len(start) :].partition(SLASH)[0]
