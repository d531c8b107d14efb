"""Waits until a contender is first on a path: what locks and elections have in common."""

import contextlib
from functools import partial
from typing import Protocol, TypeGuard

from asyncbackends.errors import BackendError
from asyncbackends.narrowing import is_of_kind
from asyncbackends.protocols.coordination import (
    Contention,
    Session,
    Sessions,
    SessionState,
    SupportsArriving,
    WatchableNodes,
)
from asyncbackends.protocols.nodes import NodeValue, Ticket
from asyncbackends.protocols.values import Gap
from asyncbackends.recipes.patience import clean_up, patiently, short_pause
from asyncbackends.stopping import Stoppable

__all__ = ("Contending", "first_place", "withdrawn")


class Contending(Contention, WatchableNodes, Sessions, Protocol):
    """What waiting for one's turn needs of a coordination service."""


async def first_place(
    coordination: Contending, path: str, value: NodeValue
) -> tuple[Ticket, Session]:
    """Contend on a path until the place is first; give it, and the session it stands on.

    First come, first served. Only the place right before the own is watched, so the end of one
    wakes one. Who loses its session, or its place, while it waits contends again, at the end of
    the queue. Nobody is given anything while its session is SUSPENDED. Retryable errors are tried
    again without end: the caller sets the bound. An error or a cancellation leaves no place
    behind.
    """
    while True:
        ticket, first = await patiently(partial(_arrived, coordination, path, value))
        session = coordination.session
        if session.id == ticket.session_id:
            if first and _grants(session):
                return ticket, session
            try:
                if await _comes_first(coordination, path, ticket, session):
                    return ticket, session
            except BaseException:
                with contextlib.suppress(BackendError):  # logged; what went wrong first is raised
                    await withdrawn(coordination, ticket, session)
                raise
            await withdrawn(coordination, ticket, session)
        await short_pause()


async def _arrived(coordination: Contending, path: str, value: NodeValue) -> tuple[Ticket, bool]:
    """Contend; True where the service said that nobody is ahead."""
    if _answers_with_queue(coordination):
        return await coordination.arrive(path, value)
    return await coordination.contend(path, value), False


def _answers_with_queue(coordination: Contention) -> TypeGuard[SupportsArriving]:
    return is_of_kind(type(coordination), SupportsArriving)


async def withdrawn(coordination: Contention, ticket: Ticket, session: Session) -> None:
    """Give a place up for certain, or until its session is LOST, as :func:`clean_up` does."""
    await clean_up(partial(coordination.withdraw, ticket), session, f"the place {ticket.path}")


async def _comes_first(
    coordination: Contending, path: str, ticket: Ticket, session: Session
) -> bool:
    """Wait until the place is first: True; False when the place or its session is gone."""
    first = False
    with Stoppable() as waiting:
        forget = session.on_lost(waiting.stop)
        try:
            first = await patiently(partial(_turn, coordination, path, ticket, session))
        finally:
            forget()
    return first and not session.lost.is_set()


async def _turn(coordination: Contending, path: str, ticket: Ticket, session: Session) -> bool:
    while True:
        ahead = await _ahead(coordination, path, ticket)
        if ahead is None:
            return False
        if ahead:
            await _change_ahead(coordination, path, ticket, ahead[-1])
        elif session.state is not SessionState.CONNECTED:
            await _end_of_suspension(session)
        elif _grants(session):
            return True
        else:
            await short_pause()


def _grants(session: Session) -> bool:
    return session.state is SessionState.CONNECTED and session.remaining() > 0


async def _ahead(coordination: Contention, path: str, ticket: Ticket) -> list[Ticket] | None:
    """Give who is before a place, in order; None if the place is gone."""
    contenders = await coordination.contenders(path)
    places = [contender.path for contender in contenders]
    if ticket.path not in places:
        return None
    return contenders[: places.index(ticket.path)]


async def _change_ahead(
    coordination: Contending, path: str, ticket: Ticket, predecessor: Ticket
) -> None:
    """Wait until the predecessor may be gone."""
    async with coordination.watch(predecessor.path) as events:
        # It may have gone before the watch began.
        ahead = await _ahead(coordination, path, ticket)
        if not ahead or ahead[-1].path != predecessor.path:
            return
        async for event in events:
            # Its value may change as often as it likes.
            if isinstance(event, Gap) or event.kind == "deleted":
                return


async def _end_of_suspension(session: Session) -> None:
    async with session.states() as states:
        async for state in states:
            if state is not SessionState.SUSPENDED:
                return
