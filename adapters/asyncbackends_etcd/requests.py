"""What etcd is asked, as the bytes of its messages. Pure.

Names and numbers are those of rpc.proto: https://etcd.io/docs/v3.5/dev-guide/api_reference_v3/
"""

from collections.abc import Iterable
from typing import Final

from asyncbackends_etcd.protobuf import content, integer

__all__ = (
    "AUTHENTICATE",
    "LEASE_GRANT",
    "LEASE_KEEP_ALIVE",
    "LEASE_REVOKE",
    "RANGE",
    "STATUS",
    "TXN",
    "WATCH",
    "at",
    "authenticate",
    "created_at",
    "delete",
    "follow",
    "forget",
    "grant_lease",
    "is_absent",
    "is_present",
    "lease",
    "lease_is_none",
    "modified_at",
    "nothing_since",
    "put",
    "range_of",
    "read",
    "txn",
    "value_below",
)

RANGE: Final = "/etcdserverpb.KV/Range"
TXN: Final = "/etcdserverpb.KV/Txn"
LEASE_GRANT: Final = "/etcdserverpb.Lease/LeaseGrant"
LEASE_REVOKE: Final = "/etcdserverpb.Lease/LeaseRevoke"
LEASE_KEEP_ALIVE: Final = "/etcdserverpb.Lease/LeaseKeepAlive"
WATCH: Final = "/etcdserverpb.Watch/Watch"
AUTHENTICATE: Final = "/etcdserverpb.Auth/Authenticate"
STATUS: Final = "/etcdserverpb.Maintenance/Status"

EQUAL, GREATER, LESS = 0, 1, 2
VERSION, CREATE, MOD, VALUE, LEASE = range(5)


def range_of(
    key: bytes,
    end: bytes = b"",
    *,
    limit: int = 0,
    revision: int = 0,
    keys_only: bool = False,
    count_only: bool = False,
) -> bytes:
    """Ask for a key, or for all from it up to and without ``end``; linearizable."""
    message = content(1, key)
    if end:
        message += content(2, end)
    if limit:
        message += integer(3, limit)
    if revision:
        message += integer(4, revision)
    if keys_only:
        message += b"\x40\x01"
    if count_only:
        message += b"\x48\x01"
    return message


def at(range_request: bytes, revision: int) -> bytes:
    """Ask for a range as it was at a revision that this server has reached."""
    return range_request + integer(4, revision) + b"\x38\x01"


def read(range_request: bytes) -> bytes:
    """Read a range, of a Txn."""
    return content(1, range_request)


def put(key: bytes, value: bytes, *, lease_id: int = 0, keeps_lease: bool = False) -> bytes:
    """Put a value, of a Txn.

    :param keeps_lease: the key is there and keeps the lease that it has.
    """
    message = content(1, key) + content(2, value) + integer(3, lease_id)
    if keeps_lease:
        message += b"\x30\x01"
    return content(2, message)


def delete(key: bytes, end: bytes = b"") -> bytes:
    """Delete a key, or all from it up to and without ``end``, of a Txn."""
    return content(3, content(1, key) + (content(2, end) if end else b""))


def txn(
    compares: Iterable[bytes], success: Iterable[bytes], otherwise: Iterable[bytes] = ()
) -> bytes:
    """Ask for a transaction: operations if all compares hold, and else others."""
    parts = [content(1, compare) for compare in compares]
    parts += [content(2, operation) for operation in success]
    parts += [content(3, operation) for operation in otherwise]
    return b"".join(parts)


def _compare(result: int, target: int, key: bytes, operand: bytes, end: bytes = b"") -> bytes:
    message = integer(1, result) + integer(2, target) + content(3, key) + operand
    return message + content(64, end) if end else message


def is_absent(key: bytes, end: bytes = b"") -> bytes:
    """Demand that a key is not there, or none of a range."""
    return _compare(EQUAL, VERSION, key, b"\x20\x00", end)


def is_present(key: bytes) -> bytes:
    """Demand that a key is there."""
    return _compare(GREATER, VERSION, key, b"\x20\x00")


def created_at(key: bytes, revision: int) -> bytes:
    """Demand that a key was created by a revision."""
    return _compare(EQUAL, CREATE, key, integer(5, revision))


def modified_at(key: bytes, revision: int) -> bytes:
    """Demand that a key was put last by a revision."""
    return _compare(EQUAL, MOD, key, integer(6, revision))


def nothing_since(key: bytes, end: bytes, revision: int) -> bytes:
    """Demand that nothing of a range was put after a revision; what was deleted does not count."""
    return _compare(LESS, MOD, key, integer(6, revision + 1), end)


def value_below(key: bytes, value: bytes) -> bytes:
    """Demand that a key is there and its value sorts before another one."""
    return _compare(LESS, VALUE, key, content(7, value))


def lease_is_none(key: bytes) -> bytes:
    """Demand that a key has no lease; one that is not there has none."""
    return _compare(EQUAL, LEASE, key, b"\x40\x00")


def grant_lease(ttl: int) -> bytes:
    """Ask for a lease, whose id the server chooses."""
    return integer(1, ttl)


def lease(lease_id: int) -> bytes:
    """Name a lease: the request to revoke one, and to keep one alive."""
    return integer(1, lease_id)


def authenticate(name: str, password: str) -> bytes:
    """Ask for a token."""
    return content(1, name.encode()) + content(2, password.encode())


def follow(key: bytes, end: bytes = b"", *, start: int = 0) -> bytes:
    """Ask a watch stream to follow a range, from the first revision after now or from ``start``."""
    message = content(1, key)
    if end:
        message += content(2, end)
    return content(1, message + integer(3, start) + b"\x40\x01")


def forget(watch_id: int) -> bytes:
    """Ask a watch stream to follow something no more."""
    return content(2, integer(1, watch_id))
