"""What openers of one name share in one event loop, from the first that enters to the last."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from asyncbackends.errors import ConfigurationError

__all__ = ("Sharing", "the_one_name")

SharedT = TypeVar("SharedT")


class Sharing(Generic[SharedT]):
    """Makes a thing for the first opener of a name and namespace, drops it with the last one."""

    def __init__(
        self, make: Callable[[str], SharedT], drop: Callable[[SharedT], None] | None = None
    ) -> None:
        self._make = make
        self._drop = drop
        self._shared: dict[tuple[str, str], _Shared[SharedT]] = {}

    def enter(self, name: str, namespace: str) -> tuple[SharedT, Callable[[], None]]:
        """Give the shared thing, and what its opener calls once when it is done with it.

        :raises ConfigurationError: another event loop has it open.
        """
        loop, key = asyncio.get_running_loop(), (name, namespace)
        found = self._shared.get(key)
        if found is not None and found.loop is not loop:
            if not found.loop.is_closed():
                message = (
                    f"the memory engine {name!r} is open in another event loop; "
                    f"give this one another name as its endpoint"
                )
                raise ConfigurationError(message)
            # Its loop ended without a shutdown: nobody can reach what it held.
            if self._drop is not None:
                self._drop(found.thing)
            found = None
        if found is None:
            found = self._shared[key] = _Shared(loop, self._make(name))
        found.openers += 1
        entered = found

        def leave() -> None:
            entered.openers -= 1
            if entered.openers == 0:
                if self._shared.get(key) is entered:
                    del self._shared[key]
                if self._drop is not None:
                    self._drop(entered.thing)

        return entered.thing, leave


class _Shared(Generic[SharedT]):
    def __init__(self, loop: asyncio.AbstractEventLoop, thing: SharedT) -> None:
        self.loop = loop
        self.thing = thing
        self.openers = 0


def the_one_name(endpoints: Sequence[str]) -> str:
    """Give the name that is the endpoint.

    :raises ConfigurationError: there is more than one.
    """
    if len(endpoints) > 1:
        message = f"the memory engine has one endpoint, a name; not {', '.join(endpoints)}"
        raise ConfigurationError(message)
    return endpoints[0] if endpoints else "default"
