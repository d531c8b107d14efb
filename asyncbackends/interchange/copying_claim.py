"""Marks a target as the unfinished copy of a source, so that nobody's data is written over.

The mark is a row in the target, there from the first write of a copy until it is verified. With it
the same command goes on; without it a target that holds anything else than the source is refused.
"""

from datetime import UTC, datetime
from functools import partial
from typing import Final
from uuid import uuid4

from asyncbackends.errors import ConfigurationError, NotFoundError
from asyncbackends.interchange.copying_sides import Side
from asyncbackends.protocols.values import Json

__all__ = ("TABLE", "Claim")

TABLE: Final = "asyncbackends.copy"
KEY: Final = "state"

SAME: Final = (
    "the source and the target are one database, under two names; nothing was copied"
    " (the environment counts for both)"
)


class Claim:
    """The mark of one copy."""

    def __init__(self, source: Side, target: Side) -> None:
        self._source = source
        self._target = target

    async def is_held(self, *, replace: bool) -> bool:
        """Say whether the target is an unfinished copy of this source already.

        :param replace: whatever the target is, it will become a copy.
        :raises ConfigurationError: it is the unfinished copy of another one.
        """
        row = await _row(self._target)
        if row is None:
            return False
        if row.get("source") == self._source.label:
            return True
        if replace:
            return False
        message = (
            f"{self._target} is an unfinished copy of {row.get('source')}, begun {row.get('began')};"
            f" finish it with that one as --from, or say --replace to make it a copy of"
            f" {self._source.label}"
        )
        raise ConfigurationError(message)

    async def take(self) -> None:
        """Mark the target.

        :raises ConfigurationError: the source sees the mark: they are one database.
        """
        token = uuid4().hex
        row = {
            "source": self._source.label,
            "token": token,
            "began": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        await self._target.ask(partial(self._target.database.kv_replace, TABLE, KEY, row))
        seen = await _row(self._source)
        if seen is not None and seen.get("token") == token:
            await self.release()
            raise ConfigurationError(SAME)

    async def release(self) -> None:
        """Take the mark away: the copy is complete, or was none."""
        await self._target.ask(partial(self._target.database.kv_delete, TABLE, KEY))


async def _row(side: Side) -> dict[str, Json] | None:
    try:
        return await side.ask(partial(side.database.kv_get, TABLE, KEY))
    except NotFoundError:
        return None
