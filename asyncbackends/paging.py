"""Iterates over the pages of a list."""

from collections.abc import AsyncIterator, Awaitable, Callable

from asyncbackends.protocols.values import ConfigObject, ObjectPage

__all__ = ("ObjectPages",)

Fetch = Callable[[str | None], Awaitable[ObjectPage[ConfigObject]]]


class ObjectPages:
    """What ``object_iter`` gives: fetches a page when the one before is used up."""

    def __init__(self, fetch: Fetch) -> None:
        """Iterate over what ``fetch(marker)`` gives, the first page with None."""
        self._fetch = fetch
        self._items: list[ConfigObject] = []
        self._marker: str | None = None
        self._more = True

    def __aiter__(self) -> AsyncIterator[ConfigObject]:
        return self

    async def __anext__(self) -> ConfigObject:
        while not self._items:
            if not self._more:
                raise StopAsyncIteration
            page = await self._fetch(self._marker)
            self._items = page.items[::-1]
            self._marker = page.marker
            self._more = page.marker is not None
        return self._items.pop()
