"""What a watch covers, and how what is there is told."""

from collections.abc import Iterable
from typing import Final

from asyncbackends.coordination.paths import ROOT, checked_path, is_below, parent
from asyncbackends.errors import InvalidRequestError
from asyncbackends.protocols.nodes import Node, NodeEvent, WatchScope

__all__ = (
    "SCOPES",
    "ahead",
    "check_watch",
    "covers",
    "entered_before",
    "not_entered",
    "present_events",
)

SCOPES: Final[tuple[WatchScope, ...]] = ("node", "children", "tree")


def check_watch(path: str, scope: WatchScope, initial: bool, since: int | None) -> None:
    """Check the arguments of a watch.

    :raises InvalidRequestError: saying which one breaks a rule.
    """
    checked_path(path)
    if scope not in SCOPES:
        message = f"the scope of a watch is one of {', '.join(SCOPES)}, not {scope!r}"
        raise InvalidRequestError(message)
    if since is None:
        return
    if type(since) is not int or since < 0:
        message = f"since is a revision, an int of at least 0, not {since!r}"
        raise InvalidRequestError(message)
    if initial:
        message = "a watch takes since or initial: what came after since is given first"
        raise InvalidRequestError(message)


def ahead(since: int, revision: int) -> InvalidRequestError:
    """Say that a watch cannot start after what will be."""
    message = f"since={since} is ahead of the service, which is at revision {revision}"
    return InvalidRequestError(message)


def entered_before() -> InvalidRequestError:
    """Say that a watch cannot be entered again."""
    message = "a watch is entered once; call watch() again"
    return InvalidRequestError(message)


def not_entered() -> InvalidRequestError:
    """Say that a watch gives nothing outside of its block."""
    message = "a watch is an async context manager: iterate what `async with` gives"
    return InvalidRequestError(message)


def covers(path: str, scope: WatchScope, event: NodeEvent) -> bool:
    """Say whether a watch of ``path`` gives an event."""
    if scope == "node":
        return event.path == path
    if scope == "children":
        return event.kind != "updated" and event.path != ROOT and parent(event.path) == path
    return event.path == path or is_below(event.path, path)


def present_events(nodes: Iterable[Node]) -> list[NodeEvent]:
    """Give what is there as ``created`` events, in the order in which it was made.

    So parents come first, and revisions do not go back: each has the revision at which the node
    was made, whatever happened to it since. Who goes on from there misses nothing. The root is
    left out: it was never made.
    """
    made = sorted(
        (node for node in nodes if node.stat.path != ROOT),
        key=lambda node: node.stat.created_revision,
    )
    return [
        NodeEvent("created", node.stat.path, node.stat.created_revision, node.stat, node.value)
        for node in made
    ]
