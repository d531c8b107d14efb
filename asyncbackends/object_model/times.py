"""Times as engines keep them: microseconds since 1970, UTC. Pure."""

import contextlib
from datetime import UTC, datetime, timedelta

from asyncbackends.errors import InvalidRequestError

__all__ = ("is_current", "utc_time")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_time(since_epoch: int) -> datetime:
    """Give the time that is so many microseconds after the epoch."""
    return EPOCH + timedelta(microseconds=since_epoch)


def is_current(revision: int, modified: int, stamp: str | int | datetime) -> bool:
    """Say whether a stamp, a revision or a time, is that of an object as it is now.

    :param modified: microseconds since the epoch.
    :param stamp: an int is a revision; text in ISO 8601, or a datetime, a time; a naive one is UTC.
    :raises InvalidRequestError: it is neither.
    """
    if isinstance(stamp, int) and not isinstance(stamp, bool):
        return stamp == revision
    parsed: object = stamp
    if isinstance(stamp, str):
        with contextlib.suppress(ValueError):
            parsed = datetime.fromisoformat(stamp)
    if not isinstance(parsed, datetime):
        message = f"{stamp!r} is no time; give a revision, ISO 8601 text or a datetime"
        raise InvalidRequestError(message)
    aware = parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
    return aware == utc_time(modified)
