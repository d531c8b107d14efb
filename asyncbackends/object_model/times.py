"""Times as engines keep them: microseconds since 1970, UTC. Pure."""

from datetime import UTC, datetime, timedelta

from asyncbackends.errors import InvalidRequestError

__all__ = ("microseconds_of", "utc_time")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_time(since_epoch: int) -> datetime:
    """Give the time that is so many microseconds after the epoch."""
    return EPOCH + timedelta(microseconds=since_epoch)


def microseconds_of(time: str | datetime) -> int:
    """Give a time, as text in ISO 8601, as microseconds since the epoch; a naive one is UTC.

    :raises InvalidRequestError: the text is not a time.
    """
    try:
        parsed = datetime.fromisoformat(time) if isinstance(time, str) else time
        aware = parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
    except (ValueError, AttributeError):
        message = f"{time!r} is no time; give a revision, ISO 8601 text or a datetime"
        raise InvalidRequestError(message) from None
    return (aware - EPOCH) // timedelta(microseconds=1)
