"""Faults of the coordination service on demand, so that users can test their own failure paths.

Every opener of the memory engine under one name passes the same switchboard::

    from asyncbackends_memory import coordination_faults

    faults = coordination_faults("default")
    faults.clock = ManualClock()                # before the first opener: sessions expire by it
    faults.expire_session()                     # the service forgets every session
    faults.freeze_renewals()                    # SUSPENDED, then LOST; until thaw_renewals()
    faults.lose_reply("create_node")            # made, but the caller is not told
    faults.drop_events(1)                       # watches get a Gap for it
    faults.drop_connection()                    # until restore_connection()
"""

import asyncio
from typing import Final, Protocol
from weakref import WeakSet

from asyncbackends.clock import Clock, SystemClock
from asyncbackends.coordination.pending import MAX_PENDING
from asyncbackends.coordination.within import Within
from asyncbackends.errors import (
    ConnectionLostError,
    InvalidRequestError,
    OperationTimeoutError,
)
from asyncbackends_memory.switchboard import Faults

__all__ = ("CoordinationFaults", "ServiceSide", "coordination_faults")

OF_THE_KEEPER: Final = frozenset({"open_session", "renew_session", "close_session"})
"""Operations of the background: a fault for any operation is not for them."""


class ServiceSide(Protocol):
    """A store of nodes and sessions."""

    @property
    def session_ids(self) -> list[str]:
        """The ids of the sessions that have not ended."""
        ...

    def end_session(self, session_id: str) -> None:
        """End a session, at once."""
        ...


class CoordinationFaults(Faults):
    """The switchboard of one name; it stands whether or not anybody has the name open.

    Operations have the names of the Protocol's methods. What keeps the session passes too, as
    ``open_session``, ``renew_session`` and ``close_session``, but a fault for any operation is not
    for these: name them.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.clock: Clock = SystemClock()
        """Tells the time of sessions, deadlines and delays; read when the first opener comes."""
        self.max_pending = MAX_PENDING
        """So many paths may have events that a watch has not given; read when one is made."""
        self._stores: WeakSet[ServiceSide] = WeakSet()
        self._events_to_lose = 0
        self._frozen = False
        self._thawed: asyncio.Event | None = None

    def expire_session(self, session_id: str | None = None) -> None:
        """Let the service forget a session, or all: ephemeral nodes vanish at once.

        The client notices at its next renewal or call.

        :raises InvalidRequestError: there is no such session.
        """
        known = {known: store for store in self._stores for known in store.session_ids}
        if session_id is not None and session_id not in known:
            message = f"there is no session {session_id!r} to expire under {self.name!r}"
            raise InvalidRequestError(message)
        for one in known if session_id is None else [session_id]:
            known[one].end_session(one)

    def freeze_renewals(self) -> None:
        """Let no renewal arrive: sessions become SUSPENDED, LOST, and expire at the service."""
        self._frozen = True

    def thaw_renewals(self) -> None:
        """Let renewals arrive again, those that wait too."""
        self._frozen = False
        if self._thawed is not None:
            self._thawed.set()
            self._thawed = None

    def drop_events(self, count: int = 1) -> None:
        """Lose the next events on the way to the watches: they notice, and get a Gap."""
        self._events_to_lose = count

    def clear(self) -> None:
        """End all faults; ``clock`` and ``max_pending`` stay."""
        self._events_to_lose = 0
        self.thaw_renewals()
        super().clear()

    def add_store(self, store: ServiceSide) -> None:
        """Let a store be reached; engine-side."""
        self._stores.add(store)

    def remove_store(self, store: ServiceSide) -> None:
        """Take a store out again; engine-side."""
        self._stores.discard(store)

    def loses_event(self) -> bool:
        """Say whether an event is lost, once for each; engine-side."""
        if self._events_to_lose <= 0:
            return False
        self._events_to_lose -= 1
        return True

    async def arrival(self) -> None:
        """Wait until renewals arrive; engine-side."""
        while self._frozen:
            if self._thawed is None:
                self._thawed = asyncio.Event()
            await self._thawed.wait()

    @property
    def in_the_way(self) -> bool:
        """Whether an operation may be held up or refused; engine-side."""
        return not self._connected or bool(self._delays or self._failures)

    async def before(self, operation: str, seconds: float) -> None:
        """Pass an operation on, delayed or refused; engine-side."""
        clock = self.clock
        end = clock.monotonic() + seconds
        waits = operation in OF_THE_KEEPER
        delay = self._delays.get(operation, 0.0 if waits else self._delays.get(None, 0.0))
        if delay:
            await self._delayed(operation, delay, seconds)
        # A suspension also without a delay: a loop over calls can be cancelled and starves nobody.
        await asyncio.sleep(0)
        if not self._connected:
            await self._reconnected(end - clock.monotonic(), seconds)
        for fault in self._failures:
            named = fault.operation is not None or not waits
            if fault.at_write is None and fault.error is not None and named:
                if not fault.fits(operation):
                    continue
                fault.times -= 1
                raise fault.error

    async def _delayed(self, operation: str, delay: float, seconds: float) -> None:
        await self.clock.sleep(min(delay, seconds))
        if delay >= seconds:
            message = f"{operation} was not over after {seconds:g} s; it was not applied"
            raise OperationTimeoutError(message)

    async def _reconnected(self, left: float, seconds: float) -> None:
        with Within(self.clock, left):
            while not self._connected:
                if self._restored is None:
                    self._restored = asyncio.Event()
                await self._restored.wait()
            return
        message = f"the connection was down for {seconds:g} s; nothing was sent"
        raise ConnectionLostError(message)

    def after(self, operation: str, *, wrote: bool) -> None:
        """Lose the reply of an operation that was applied; engine-side."""
        if operation not in OF_THE_KEEPER:
            super().after(operation, wrote=wrote)
            return
        for fault in self._lost:
            if fault.operation == operation and fault.fits(operation):
                fault.times -= 1
                message = f"the connection was lost before the reply to {operation}"
                raise ConnectionLostError(message, maybe_applied=wrote)


_switchboards: dict[str, CoordinationFaults] = {}


def coordination_faults(name: str = "default") -> CoordinationFaults:
    """Give the switchboard of the coordination service for an endpoint name."""
    return _switchboards.setdefault(name, CoordinationFaults(name))
