"""The tree as a dict: what every operation does, and what it may be refused with."""

from collections.abc import Mapping
from typing import Literal, Self

import msgspec

from asyncbackends.errors import (
    BackendError,
    HasChildrenError,
    InvalidRequestError,
    NodeExistsError,
    NodeNotFoundError,
    RevisionConflictError,
)
from asyncbackends.protocols.nodes import WatchScope

__all__ = ("Entry", "Model", "Operation", "Refusals", "above", "within")

Refusals = frozenset[type[BackendError]]
"""What an operation may be refused with, any of them; empty if it is applied."""

APPLIED: Refusals = frozenset()


class Entry(msgspec.Struct, frozen=True):
    """A node: its value, and the client that it goes with."""

    value: bytes = b""
    owner: int | None = None


class Operation(msgspec.Struct, frozen=True):
    """An operation on one node, as drawn."""

    kind: Literal["create", "update", "delete", "check", "exists", "absent"]
    path: str
    value: bytes = b""
    version: Literal["any", "right", "wrong"] = "any"
    ephemeral: bool = False
    make_parents: bool = True
    recursive: bool = False


def above(path: str) -> str:
    """Give the path of the parent, "/" above the topmost."""
    return path.rpartition("/")[0] or "/"


def within(path: str, scope: WatchScope, watched: str) -> bool:
    """Say whether a watch is about a path."""
    match scope:
        case "node":
            return path == watched
        case "children":
            return above(path) == watched
        case _:
            return path == watched or path.startswith(f"{watched}/")


class Model(msgspec.Struct):
    """All nodes but the root."""

    nodes: dict[str, Entry] = msgspec.field(default_factory=dict[str, Entry])

    def copied(self) -> Self:
        """Give another one with the same nodes."""
        return type(self)({**self.nodes})

    def children(self, path: str) -> list[str]:
        """Give the names of direct children, sorted."""
        return sorted(one.rpartition("/")[2] for one in self.nodes if above(one) == path)

    def below(self, path: str) -> list[str]:
        """Give a node and all below it."""
        return [one for one in self.nodes if within(one, "tree", path)]

    def watched(self, scope: WatchScope, path: str) -> Mapping[str, bytes | None]:
        """Give what a watch is about: values by path, None where it does not tell them."""
        return {
            one: None if scope == "children" else entry.value
            for one, entry in self.nodes.items()
            if within(one, scope, path)
        }

    def leave(self, owner: int) -> None:
        """Let a client's session end."""
        self.nodes = {path: one for path, one in self.nodes.items() if one.owner != owner}

    def apply(self, operation: Operation, client: int) -> Refusals:
        """Apply an operation, or say what it may be refused with."""
        path, entry = operation.path, self.nodes.get(operation.path)
        if operation.kind == "create":
            return self._create(operation, client)
        if operation.kind == "absent":
            return APPLIED if entry is None else frozenset({NodeExistsError})
        if entry is None:
            return frozenset({NodeNotFoundError})
        refusals: set[type[BackendError]] = set()
        if operation.version == "wrong":
            refusals.add(RevisionConflictError)
        if operation.kind == "delete" and self.children(path) and not operation.recursive:
            refusals.add(HasChildrenError)
        if not refusals and operation.kind == "update":
            self.nodes[path] = Entry(operation.value, entry.owner)
        if not refusals and operation.kind == "delete":
            for one in self.below(path):
                del self.nodes[one]
        return frozenset(refusals)

    def _create(self, operation: Operation, client: int) -> Refusals:
        path = operation.path
        if path in self.nodes:
            return frozenset({NodeExistsError})
        refusals: set[type[BackendError]] = set()
        missing: list[str] = []
        parent = above(path)
        while parent != "/" and parent not in self.nodes:
            missing.append(parent)
            parent = above(parent)
        if missing and not operation.make_parents:
            refusals.add(NodeNotFoundError)
        if parent != "/" and self.nodes[parent].owner is not None:
            refusals.add(InvalidRequestError)
        if not refusals:
            self.nodes |= dict.fromkeys(missing, Entry())
            self.nodes[path] = Entry(operation.value, client if operation.ephemeral else None)
        return frozenset(refusals)
