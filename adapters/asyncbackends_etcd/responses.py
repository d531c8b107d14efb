"""What etcd answers. Pure."""

from typing import Final

import msgspec

from asyncbackends_etcd.protobuf import fields_of, signed

__all__ = (
    "Event",
    "KeyValue",
    "Ranged",
    "Transacted",
    "Watched",
    "granted_lease",
    "kept_alive",
    "ranged",
    "server_version",
    "token",
    "transacted",
    "watched",
)

DELETE: Final = 1


class KeyValue(msgspec.Struct, frozen=True):
    """One key."""

    key: bytes = b""
    create_revision: int = 0
    mod_revision: int = 0
    version: int = 0
    value: bytes = b""
    lease: int = 0


class Ranged(msgspec.Struct, frozen=True):
    """What is in a range."""

    revision: int
    """That of the whole store; 0 within a Txn."""
    kvs: list[KeyValue]
    more: bool = False
    count: int = 0


class Transacted(msgspec.Struct, frozen=True):
    """What became of a Txn."""

    revision: int
    succeeded: bool
    ranges: list[Ranged]
    """The answers to its reads, in order."""
    writes: int
    """So many of its operations were puts and deletes."""


class Event(msgspec.Struct, frozen=True):
    """One change."""

    deleted: bool
    kv: KeyValue


class Watched(msgspec.Struct, frozen=True):
    """One message of a watch stream."""

    revision: int
    watch_id: int
    created: bool
    canceled: bool
    compact_revision: int
    reason: str
    fragment: bool
    """More of the same is to come."""
    events: list[Event]


def _key_value(data: bytes) -> KeyValue:
    key = value = b""
    create = mod = version = lease = 0
    for number, integer, content in fields_of(data):
        if number == 1:
            key = content
        elif number == 5:
            value = content
        elif number == 2:
            create = integer
        elif number == 3:
            mod = integer
        elif number == 4:
            version = integer
        elif number == 6:
            lease = signed(integer)
    return KeyValue(key, create, mod, version, value, lease)


def _revision(header: bytes) -> int:
    for number, integer, _ in fields_of(header):
        if number == 3:
            return integer
    return 0


def ranged(data: bytes) -> Ranged:
    """Read a RangeResponse."""
    revision = count = 0
    more = False
    kvs: list[KeyValue] = []
    for number, integer, content in fields_of(data):
        if number == 2:
            kvs.append(_key_value(content))
        elif number == 1:
            revision = _revision(content)
        elif number == 3:
            more = bool(integer)
        elif number == 4:
            count = integer
    return Ranged(revision, kvs, more, count)


def transacted(data: bytes) -> Transacted:
    """Read a TxnResponse."""
    revision = writes = 0
    succeeded = False
    ranges: list[Ranged] = []
    for number, integer, content in fields_of(data):
        if number == 1:
            revision = _revision(content)
        elif number == 2:
            succeeded = bool(integer)
        elif number == 3:
            for kind, _, answer in fields_of(content):
                if kind == 1:
                    ranges.append(ranged(answer))
                else:
                    writes += 1
    return Transacted(revision, succeeded, ranges, writes)


def granted_lease(data: bytes) -> tuple[int, int]:
    """Read a LeaseGrantResponse: the id, and the seconds granted."""
    found = {number: integer for number, integer, _ in fields_of(data)}
    return signed(found.get(2, 0)), signed(found.get(3, 0))


def kept_alive(data: bytes) -> int:
    """Read a LeaseKeepAliveResponse: the seconds that are left, none of a lease not known."""
    found = {number: integer for number, integer, _ in fields_of(data)}
    return signed(found.get(3, 0))


def token(data: bytes) -> str:
    """Read an AuthenticateResponse."""
    return _text(data, 2)


def server_version(data: bytes) -> str:
    """Read a StatusResponse."""
    return _text(data, 2)


def _text(data: bytes, wanted: int) -> str:
    for number, _, content in fields_of(data):
        if number == wanted:
            return content.decode("utf-8", "replace")
    return ""


def watched(data: bytes) -> Watched:
    """Read a WatchResponse."""
    revision = watch_id = compact_revision = 0
    created = canceled = fragment = False
    reason = ""
    events: list[Event] = []
    for number, integer, content in fields_of(data):
        if number == 11:
            events.append(_event(content))
        elif number == 1:
            revision = _revision(content)
        elif number == 2:
            watch_id = signed(integer)
        elif number == 3:
            created = bool(integer)
        elif number == 4:
            canceled = bool(integer)
        elif number == 5:
            compact_revision = integer
        elif number == 6:
            reason = content.decode("utf-8", "replace")
        elif number == 7:
            fragment = bool(integer)
    return Watched(
        revision, watch_id, created, canceled, compact_revision, reason, fragment, events
    )


def _event(data: bytes) -> Event:
    deleted = False
    kv = KeyValue()
    for number, integer, content in fields_of(data):
        if number == 1:
            deleted = integer == DELETE
        elif number == 2:
            kv = _key_value(content)
    return Event(deleted, kv)
