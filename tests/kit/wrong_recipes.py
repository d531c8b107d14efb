"""Recipes that are wrong on purpose: the real ones with one small change each."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

import msgspec

from asyncbackends.errors import LockNotAcquiredError
from asyncbackends.recipes.election import Election
from asyncbackends.recipes.group import Group
from asyncbackends.recipes.lock import Held, Lock
from asyncbackends.recipes.patience import short_pause

__all__ = ("WRONG_RECIPES", "RightElection", "RightGroup", "RightLock")


class RightLock(Lock):
    """The recipe itself, by the same way."""


class RightElection(Election):
    """The recipe itself, by the same way."""


class RightGroup(Group):
    """The recipe itself, by the same way."""


class WaitsForNobody(Lock):
    """Two owners at once."""

    async def acquire(self, timeout: float | None = None) -> Held:
        ticket = await self._coordination.contend(self.path, self._value)
        return Held(self._coordination, ticket, self._coordination.session)


class LetsTheLastOneIn(Lock):
    """Whoever came last is next."""

    async def acquire(self, timeout: float | None = None) -> Held:
        ticket = await self._coordination.contend(self.path, self._value)
        first = (await self._coordination.contenders(self.path))[0]
        while first.path != ticket.path:
            contenders = await self._coordination.contenders(self.path)
            if first not in contenders and contenders[-1].path == ticket.path:
                break
            await short_pause()
        return Held(self._coordination, ticket, self._coordination.session)


class LeavesItsPlaceBehind(Lock):
    """Who gives up, or is cancelled, stays in line."""

    async def acquire(self, timeout: float | None = None) -> Held:
        ticket = await self._coordination.contend(self.path, self._value)
        waited = 0.0
        while (await self._coordination.contenders(self.path))[0].path != ticket.path:
            await short_pause(0.01)
            waited += 0.01
            if timeout is not None and waited > timeout:
                message = f"the lock {self.path} was not to be had"
                raise LockNotAcquiredError(message)
        return Held(self._coordination, ticket, self._coordination.session)


class LetsTheBodyGoOn(Lock):
    """A lost session is no business of the body."""

    async def __aenter__(self) -> Held:
        self._mine = await self.acquire()
        return self._mine

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._mine.release()


class HasOneFence(Lock):
    """Every holder has the same token."""

    async def acquire(self, timeout: float | None = None) -> Held:
        held = await super().acquire(timeout)
        fence = msgspec.structs.replace(held.ticket.fence, token=1)
        held.ticket = msgspec.structs.replace(held.ticket, fence=fence)
        return held


class _Block:
    """A block of which a subclass changes a part."""

    def __init__(self, block: Any) -> None:
        self._block = block

    async def __aenter__(self) -> Any:
        return await self._block.__aenter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._block.__aexit__(exc_type, exc, traceback)


class _Reigning(_Block):
    async def __aenter__(self) -> Any:
        term: Any = await self._block.__aenter__()

        async def only_say_so() -> None:
            term._claimed = False

        term.resign = only_say_so
        return term


class ReignsOn(Election):
    """Resigning is only a word."""

    def lead(self) -> AbstractAsyncContextManager[Any]:
        return _Reigning(super().lead())


class _Unwatched(_Block):
    async def __aenter__(self) -> Any:
        term: Any = await self._block.__aenter__()
        self._block._block._forget()
        return term


class LeadsWithoutTerm(Election):
    """Nobody ends the body."""

    def lead(self) -> AbstractAsyncContextManager[Any]:
        return _Unwatched(super().lead())


class _Repeating(_Block):
    async def __aenter__(self) -> Any:
        self._leaders = await self._block.__aenter__()
        self._again: list[Any] = []
        return self

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        if self._again:
            return self._again.pop()
        self._again.append(await anext(self._leaders))
        return self._again[0]


class RepeatsItself(Election):
    """Whoever observes sees every leader twice."""

    def observe(self) -> AbstractAsyncContextManager[Any]:
        return _Repeating(super().observe())


class _Staying(_Block):
    def __init__(self, block: Any, coordination: Any) -> None:
        super().__init__(block)
        self._coordination = coordination

    async def __aenter__(self) -> Any:
        self._membership = await self._block.__aenter__()
        return self._membership

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await super().__aexit__(exc_type, exc, traceback)
        await self._coordination.create_node(self._membership.path, b"{}", ephemeral=True)


class KeepsItsMembers(Group):
    """A member is still there when its block is over."""

    def join(self, *args: Any, **kwargs: Any) -> AbstractAsyncContextManager[Any]:
        return _Staying(super().join(*args, **kwargs), self._coordination)


class NeverRejoins(Group):
    def join(self, *args: Any, **kwargs: Any) -> AbstractAsyncContextManager[Any]:
        return super().join(*args, **{**kwargs, "rejoin": False})


WRONG_RECIPES: dict[str, Callable[..., Any]] = {
    kind.__name__: kind
    for kind in (
        WaitsForNobody,
        LetsTheLastOneIn,
        LeavesItsPlaceBehind,
        LetsTheBodyGoOn,
        HasOneFence,
        ReignsOn,
        LeadsWithoutTerm,
        RepeatsItself,
        KeepsItsMembers,
        NeverRejoins,
    )
}
