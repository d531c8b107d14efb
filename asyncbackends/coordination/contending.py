"""Names of contenders' entries, and their tickets."""

import re
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final
from uuid import uuid4

from asyncbackends.coordination.paths import checked_path, child, name, parent
from asyncbackends.errors import InvalidRequestError
from asyncbackends.protocols.nodes import NodeStat, Ticket
from asyncbackends.protocols.values import Fence

__all__ = (
    "EntryNames",
    "checked_ticket",
    "is_entry_name",
    "new_entry",
    "ticket_of",
    "tickets_of",
)

ENTRY: Final = re.compile(r"[0-9a-f]{32}")
MOST_PATHS: Final = 1000
"""Of so many paths, the last ones, names are kept to be used again."""


def new_entry(path: str) -> str:
    """Give the path of an entry that nobody has made, for a contender on ``path``.

    :raises InvalidRequestError: ``path`` is none, or too long to have one below it.
    """
    return checked_path(child(checked_path(path), uuid4().hex))


class EntryNames:
    """The names of one client's entries, used again, or not, once nobody can mean the old entry.

    That is so where its maker had the answer that made it, and the one that withdrew it. What a
    request in doubt was about is never used again. A ticket's order tells the entries of one name
    apart.
    """

    def __init__(self, *, again: bool) -> None:
        self._again = again
        self._session_id = ""
        self._made: set[str] = set()
        """The entries of that session, of which its client knows for certain."""
        self._free: OrderedDict[str, list[str]] = OrderedDict()

    def entry(self, path: str) -> str:
        """Give the path of an entry that is not there, for a contender on ``path``.

        :raises InvalidRequestError: see :func:`new_entry`.
        """
        names = self._free.get(path)
        return names.pop() if names else new_entry(path)

    def made(self, entry: str, session_id: str) -> None:
        """Hear that an entry was made for certain; those of other sessions are no more."""
        if not self._again:
            return
        if session_id != self._session_id:
            self._session_id = session_id
            self._made.clear()
        self._made.add(entry)

    def withdrawn(self, entry: str) -> None:
        """Hear that a request of this client took an entry away."""
        if entry not in self._made:
            return
        self._made.remove(entry)
        path = parent(entry)
        self._free.setdefault(path, []).append(entry)
        self._free.move_to_end(path)
        if len(self._free) > MOST_PATHS:
            self._free.popitem(last=False)


def is_entry_name(segment: str) -> bool:
    """Say whether a node of that name may be a contender's entry."""
    return ENTRY.fullmatch(segment) is not None


def _is_entry(stat: NodeStat) -> bool:
    """Say whether a node is a contender's entry, not some other child."""
    return stat.ephemeral_owner is not None and is_entry_name(name(stat.path))


def ticket_of(stat: NodeStat, namespace: str, epoch: int) -> Ticket:
    """Give the ticket that an entry stands for; its order is the revision that made it.

    :param epoch: the option ``fence_epoch``.
    """
    order = stat.created_revision
    fence = Fence(f"{namespace}{parent(stat.path)}", epoch, order)
    return Ticket(stat.path, order, stat.ephemeral_owner or "", fence)


def tickets_of(stats: Iterable[NodeStat], namespace: str, epoch: int) -> list[Ticket]:
    """Give the tickets of those nodes that are contenders' entries, in their order."""
    tickets = [ticket_of(stat, namespace, epoch) for stat in stats if _is_entry(stat)]
    return sorted(tickets, key=lambda ticket: ticket.order)


def checked_ticket(ticket: Ticket) -> Ticket:
    """Give what is withdrawn.

    :raises InvalidRequestError: it is no ticket.
    """
    if not isinstance(ticket, Ticket):
        message = f"what is withdrawn is a Ticket, not {ticket!r}"
        raise InvalidRequestError(message)
    return ticket
