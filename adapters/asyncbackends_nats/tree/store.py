"""The stream that holds the tree: made once, and checked before it is trusted."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from asyncbackends.errors import AccessDeniedError, ConfigurationError, ConnectionLostError
from asyncbackends_nats.driver_errors import NO_ANSWERER, NO_STREAM, JetStreamError
from asyncbackends_nats.pulls import NANO
from asyncbackends_nats.tree.asking import Asking
from asyncbackends_nats.tree.committing import Committing, OvertakenError
from asyncbackends_nats.tree.reading import Reading
from asyncbackends_nats.tree.subjects import Subjects
from asyncbackends_nats.tree.units import Message

__all__ = ("OLDEST", "check_version", "is_same", "made_stream", "read_birth")

OLDEST: Final = (2, 12)
NAME_IN_USE: Final = 10058
KNOWN: Final = 120
"""Seconds that the server knows the names of messages."""
DEMANDED: Final[Mapping[str, Any]] = {
    "max_msgs_per_subject": -1,
    "allow_rollup_hdrs": True,
    "max_msgs": -1,
    "max_bytes": -1,
    "max_age": 0,
    "retention": "limits",
    "allow_direct": True,
    "allow_atomic": True,
    "allow_msg_ttl": True,
    "duplicate_window": KNOWN * NANO,
}
"""What a stream must be for the tree to be in it: nothing goes by itself but what says so."""


def check_version(version: str, endpoint: str) -> None:
    """See that a server knows atomic batches.

    :raises ConfigurationError: it does not.
    """
    numbers = tuple(int(word) for word in version.split(".")[:2] if word.isdigit())
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        message = f"{endpoint} is NATS {version}: coordination needs {oldest} or newer"
        raise ConfigurationError(message)


async def made_stream(asking: Asking, subjects: Subjects, replicas: int) -> int:
    """Make the stream unless it is there; give how many servers keep it.

    :raises ConfigurationError: there is one of that name, and it is another.
    """
    stream = subjects.stream
    try:
        info = await asking.api(f"STREAM.INFO.{stream}")
    except JetStreamError as error:
        if error.err_code != NO_STREAM:
            raise
        try:
            info = await asking.api(f"STREAM.CREATE.{stream}", _config(subjects, replicas))
        except AccessDeniedError as denied:
            message = f"there is no stream {stream}, and the account may not make one"
            raise AccessDeniedError(message) from denied
        except JetStreamError as refused:
            if refused.err_code != NAME_IN_USE:
                raise
            # Somebody else made it meanwhile, in another way.
            info = await asking.api(f"STREAM.INFO.{stream}")
    config = info["config"]
    wrong = [name for name, value in DEMANDED.items() if config.get(name, False) != value]
    # With it, and more than one message on a subject, 2.15 does not let messages expire at all.
    if config.get("subject_delete_marker_ttl", 0):
        wrong.append("subject_delete_marker_ttl")
    if subjects.everything not in config.get("subjects", ()):
        wrong.append("subjects")
    if wrong:
        message = (
            f"the stream {stream} is there, and cannot hold the tree because of its "
            f"{', '.join(wrong)}: delete it, or choose another namespace"
        )
        raise ConfigurationError(message)
    return int(config.get("num_replicas", 1))


def _config(subjects: Subjects, replicas: int) -> dict[str, Any]:
    return {
        **DEMANDED,
        "name": subjects.stream,
        "description": "the tree of asyncbackends' coordination service",
        "subjects": [subjects.everything],
        "discard": "old",
        "storage": "file",
        "num_replicas": replicas,
    }


async def read_birth(reading: Reading, committing: Committing, subjects: Subjects) -> int:
    """Give what tells this life of the stream from another one: the sequence of its first mark."""
    while True:
        record = await reading.last(subjects.birth, None)
        if record is not None:
            return record.sequence
        message = Message(subjects.birth, f"Ab: r {uuid4().hex}\r\n".encode(), b"", 0)
        try:
            _, sequence = await committing.commit({}, [message])
        except OvertakenError:
            continue
        return sequence


async def is_same(reading: Reading, subjects: Subjects, birth: int) -> bool:
    """Say whether the stream is the one it was, and was not purged."""
    try:
        record = await reading.last(subjects.birth, None)
        if record is not None:
            return record.sequence == birth
        await reading.info()
    except JetStreamError as error:
        if error.err_code == NO_ANSWERER:
            return await _is_there(reading)
        return error.err_code != NO_STREAM
    except ConnectionLostError:
        # Whoever uses it hears that from elsewhere.
        return True
    return False


async def _is_there(reading: Reading) -> bool:
    try:
        await reading.info()
    except JetStreamError as error:
        return error.err_code != NO_STREAM
    return True
