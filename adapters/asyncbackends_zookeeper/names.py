"""Paths of ours as ZooKeeper has them, and back. Pure.

ZooKeeper takes no character from U+E000 to U+F8FF, none from U+FFF0 to U+FFFF, and none beyond
U+FFFF. A segment with one of them is written with a mark in front and percent signs, and so is one
that begins with the mark itself; every other one is written as it is, so that others may read it.
"""

import re
from typing import Final
from urllib.parse import quote, unquote

from asyncbackends.coordination.paths import ROOT

__all__ = ("Names",)

MARK: Final = "%x:"
UNWRITABLE: Final = re.compile("[\ue000-\uf8ff\ufff0-\uffff\U00010000-\U0010ffff]|(?:^|/)%x:")


class Names:
    """The names of one namespace: it is a node below the root; an empty one is the root."""

    def __init__(self, namespace: str) -> None:
        self.root = f"/{namespace}" if namespace else ROOT
        """The znode that stands for the root."""
        self._prefix = f"/{namespace}" if namespace else ""

    def znode(self, path: str) -> str:
        """Give the path of the znode."""
        if path == ROOT:
            return self.root
        if UNWRITABLE.search(path):
            path = "/".join(map(_written, path.split("/")))
        return self._prefix + path

    def path(self, znode: str) -> str:
        """Give the path that a znode stands for."""
        path = znode[len(self._prefix) :] or ROOT
        return "/".join(map(self.name, path.split("/"))) if MARK in path else path

    def name(self, segment: str) -> str:
        """Give the name that a segment of a znode stands for."""
        return unquote(segment[len(MARK) :]) if segment.startswith(MARK) else segment


def _written(segment: str) -> str:
    return MARK + quote(segment, safe=" ") if UNWRITABLE.search(segment) else segment
