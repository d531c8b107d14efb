"""Names of contenders' entries, and their tickets."""

import re
from collections.abc import Iterable
from typing import Final
from uuid import uuid4

from asyncbackends.coordination.paths import checked_path, child, name, parent
from asyncbackends.errors import InvalidRequestError
from asyncbackends.protocols.nodes import NodeStat, Ticket
from asyncbackends.protocols.values import Fence

__all__ = ("checked_ticket", "is_entry_name", "new_entry", "ticket_of", "tickets_of")

ENTRY: Final = re.compile(r"[0-9a-f]{32}")


def new_entry(path: str) -> str:
    """Give the path of an entry that nobody has made, for a contender on ``path``.

    :raises InvalidRequestError: ``path`` is none, or too long to have one below it.
    """
    return checked_path(child(checked_path(path), uuid4().hex))


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
