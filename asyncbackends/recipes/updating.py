"""Read, change, write; again on conflict."""

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Final

from asyncbackends.errors import RevisionConflictError, WriteContentionError
from asyncbackends.protocols.objects import Objects
from asyncbackends.protocols.values import (
    ConfigObject,
    Fence,
    FieldNames,
    Id,
    Json,
    WriteResult,
)

__all__ = ("update_with",)

FIRST_PAUSE: Final = 0.002
LONGEST_PAUSE: Final = 0.25


async def update_with(
    database: Objects,
    obj_type: str,
    obj_uuid: Id,
    change: Callable[[ConfigObject], Mapping[str, Json] | None],
    *,
    field_names: FieldNames = None,
    fence: Fence | None = None,
    attempts: int = 32,
) -> WriteResult | None:
    """Change an object by what it is now, whoever else writes it: no update is lost.

    Reads the object, asks ``change`` for an update of it (as for ``object_update``), and writes
    that only if the object is still at the revision that was read; else all of it again, after a
    pause that doubles up to 0.25 s, with jitter. ``change`` may so be called several times, and
    must have no effect of its own.

    :param change: gives the update, or None to leave the object alone.
    :param field_names: what to read, as in ``object_get``.
    :returns: the result of the write, None when ``change`` gave None.
    :raises RevisionConflictError: the object moved ``attempts`` times.
    :raises ObjectNotFoundError: there is no such object, or no longer.
    """
    for attempt in range(1, attempts + 1):
        current = await database.object_get(obj_type, obj_uuid, field_names)
        update = change(current)
        if update is None:
            return None
        try:
            return await database.object_update(
                obj_type, obj_uuid, update, expected_revision=current.revision, fence=fence
            )
        except (RevisionConflictError, WriteContentionError):
            if attempt == attempts:
                raise
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)
        await asyncio.sleep(random.uniform(0, longest))  # noqa: S311  # jitter is no secret
    message = "attempts is at least 1"
    raise ValueError(message)
