"""Faults on demand, so that users can test their own failure paths.

Every opener of the memory engine under one name passes the same switchboard::

    from asyncbackends_memory import faults

    faults("default").fail_next(ConnectionLostError("gone"), operation="object_create")
    faults("default").lose_reply("object_update")       # written, but the caller is not told
    faults("default").delay(0.2)                        # every operation, until clear()
    faults("default").drop_connection()                 # until restore_connection()
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from asyncbackends.errors import BackendError, ConnectionLostError, OperationTimeoutError
from asyncbackends.protocols.backend import ConnectionState

__all__ = ("Faults", "Link", "faults")


class Link(Protocol):
    """A backend that passes the switchboard."""

    def link_changed(self, state: ConnectionState, reason: str | None) -> None:
        """Hear that the connection was dropped or restored."""
        ...


class _Fault(msgspec.Struct):
    error: BackendError | None
    operation: str | None
    at_write: int | None
    times: int

    def fits(self, operation: str) -> bool:
        return self.times > 0 and self.operation in {None, operation}


class Faults:
    """The switchboard of one name; it stands whether or not anybody has the name open."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._delays: dict[str | None, float] = {}
        self._failures: list[_Fault] = []
        self._lost: list[_Fault] = []
        self._links: list[Link] = []
        self._connected = True
        self._restored: asyncio.Event | None = None

    @property
    def connected(self) -> bool:
        """Whether the connection is there."""
        return self._connected

    def delay(self, seconds: float, operation: str | None = None) -> None:
        """Let operations of that name, or all, take so long before they have any effect."""
        self._delays[operation] = seconds

    def fail_next(
        self,
        error: BackendError,
        operation: str | None = None,
        *,
        at_write: int | None = None,
        times: int = 1,
    ) -> None:
        """Refuse the next operations of that name, or any, with ``error``; nothing is applied.

        :param at_write: fail in the middle of a unit instead: when this write of it, counted from
            0, has been applied. What was applied is taken back, as after a crash.
        """
        self._failures = [fault for fault in self._failures if fault.times > 0]
        self._failures.append(_Fault(error, operation, at_write, times))

    def lose_reply(self, operation: str | None = None, *, times: int = 1) -> None:
        """Apply the next operations of that name, or any, and lose their replies.

        The caller gets ConnectionLostError with ``maybe_applied``.
        """
        self._lost = [fault for fault in self._lost if fault.times > 0]
        self._lost.append(_Fault(None, operation, None, times))

    def drop_connection(self) -> None:
        """Cut the connection: operations wait for it until their deadline."""
        self._set_connected(False, "the connection was dropped by the switchboard")

    def restore_connection(self) -> None:
        """Let the connection come back."""
        self._set_connected(True, None)

    def clear(self) -> None:
        """End all faults."""
        self._delays.clear()
        self._failures.clear()
        self._lost.clear()
        self.restore_connection()

    def _set_connected(self, connected: bool, reason: str | None) -> None:
        self._connected = connected
        if connected and self._restored is not None:
            self._restored.set()
            self._restored = None
        state = ConnectionState.CONNECTED if connected else ConnectionState.DISCONNECTED
        for link in self._links:
            link.link_changed(state, reason)

    def join(self, link: Link) -> None:
        """Let a backend hear of the connection; engine-side."""
        self._links.append(link)

    def leave(self, link: Link) -> None:
        """Take a backend out again; engine-side."""
        if link in self._links:
            self._links.remove(link)

    async def before(self, operation: str, seconds: float) -> None:
        """Pass an operation on, delayed or refused; engine-side."""
        if not self._connected:
            await self._wait_for_connection(seconds)
        pause = self._delays.get(operation, self._delays.get(None, 0.0))
        if pause >= seconds:
            await asyncio.sleep(seconds)
            message = f"{operation} was not over after {seconds:g} s; it was not applied"
            raise OperationTimeoutError(message)
        # A suspension also without a delay: a loop over calls can be cancelled and starves nobody.
        await asyncio.sleep(pause)
        for fault in self._failures:
            if fault.at_write is None and fault.error is not None and fault.fits(operation):
                fault.times -= 1
                raise fault.error

    async def _wait_for_connection(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not self._connected:
                    if self._restored is None:
                        self._restored = asyncio.Event()
                    await self._restored.wait()
        except TimeoutError:
            message = f"the connection was down for {seconds:g} s; nothing was sent"
            raise ConnectionLostError(message) from None

    def inside(self, operation: str) -> Callable[[int], None] | None:
        """Give what a unit calls after each of its writes, if it is to fail there; engine-side."""
        for fault in self._failures:
            if fault.at_write is not None and fault.fits(operation):
                return _failing(fault)
        return None

    def after(self, operation: str, *, wrote: bool) -> None:
        """Lose the reply of an operation that was applied; engine-side."""
        for fault in self._lost:
            if fault.fits(operation):
                fault.times -= 1
                message = f"the connection was lost before the reply to {operation}"
                raise ConnectionLostError(message, maybe_applied=wrote)


def _failing(fault: _Fault) -> Callable[[int], None]:
    def after_write(index: int) -> None:
        if index == fault.at_write and fault.error is not None:
            fault.times -= 1
            raise fault.error

    return after_write


_switchboards: dict[str, Faults] = {}


def faults(name: str = "default") -> Faults:
    """Give the switchboard for an endpoint name of the memory engine."""
    return _switchboards.setdefault(name, Faults(name))
