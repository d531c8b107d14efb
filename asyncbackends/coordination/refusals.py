"""The errors of the tree, worded once for every engine."""

from collections.abc import Collection
from typing import Final

from asyncbackends.errors import (
    BackendError,
    HasChildrenError,
    InvalidRequestError,
    NodeExistsError,
    NodeNotFoundError,
    RevisionConflictError,
    TransactionFailedError,
)
from asyncbackends.protocols.nodes import NodeStat, Ticket

__all__ = (
    "has_children",
    "no_node",
    "no_parent",
    "no_ticket",
    "node_exists",
    "other_version",
    "refused_in_transaction",
    "under_ephemeral",
)

SHOWN: Final = 10


def no_node(path: str) -> NodeNotFoundError:
    """Say that there is no such node."""
    return NodeNotFoundError(f"there is no node {path!r}")


def no_parent(path: str, missing: str) -> NodeNotFoundError:
    """Say that a node cannot be made where there is no parent."""
    return NodeNotFoundError(
        f"there is no node {missing!r} to make {path!r} under; make it first, or let make_parents"
    )


def no_ticket(ticket: Ticket) -> NodeNotFoundError:
    """Say that a contender's entry is gone."""
    return NodeNotFoundError(f"the contender's entry {ticket.path!r} is gone: its place is lost")


def node_exists(path: str, stat: NodeStat | None) -> NodeExistsError:
    """Say that there is such a node already."""
    return NodeExistsError(f"there is a node {path!r} already", stat=stat)


def other_version(path: str, expected: int, actual: int) -> RevisionConflictError:
    """Say that a node is at another version."""
    message = f"the node {path!r} has version {actual}, not {expected}; read it again"
    return RevisionConflictError(message, expected=expected, actual=actual)


def has_children(path: str, children: Collection[str]) -> HasChildrenError:
    """Say that a node is not deleted without what is below it."""
    message = f"the node {path!r} has {len(children)} children; delete them first, or recursively"
    return HasChildrenError(message, children=sorted(children)[:SHOWN])


def under_ephemeral(path: str, above: str) -> InvalidRequestError:
    """Say that an ephemeral node has no children."""
    message = f"{path!r} cannot be made: {above!r} is ephemeral, and such a node has no children"
    return InvalidRequestError(message)


def refused_in_transaction(index: int, error: BackendError) -> TransactionFailedError:
    """Say which operation of a transaction was refused."""
    message = f"operation {index} was refused, so none was applied: {error}"
    return TransactionFailedError(message, index=index, error=error)
