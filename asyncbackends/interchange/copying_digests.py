"""The hash that an object is known by while it is copied. Pure."""

from hashlib import blake2b

import msgspec

from asyncbackends.interchange.records import ObjectRecord, to_line

__all__ = ("digest",)


def digest(record: ObjectRecord | None, *, relaxed: bool = True) -> bytes | None:
    """Give the hash of an object: of everything but times and revision; None for no object."""
    if record is None:
        return None
    if not relaxed:
        record = msgspec.structs.replace(record, relaxed_by=[])
    return blake2b(to_line(record), digest_size=16).digest()
