"""Ends a session of ZooKeeper as nobody but its owner can: by its number alone.

The password that a session's owner shows is made of the number (``ZooKeeperServer.generatePasswd``).
"""

import socket
import struct

__all__ = ("close_session", "password_of")

SUPER_SECRET = 0xB3415C00
MULTIPLIER, INCREMENT, MASK = 0x5DEECE66D, 0xB, (1 << 48) - 1
"""Those of java.util.Random."""
PASSWORD_BYTES = 16
TIMEOUT_MS = 4000
CLOSE = 8, 1, -11
"""Length, number and kind of the request that closes a session."""


def password_of(session_id: int) -> bytes:
    """Give the password of a session."""
    seed = (session_id ^ SUPER_SECRET ^ MULTIPLIER) & MASK
    password = b""
    while len(password) < PASSWORD_BYTES:
        seed = (seed * MULTIPLIER + INCREMENT) & MASK
        password += struct.pack("<I", (seed >> 16) & 0xFFFFFFFF)
    return password


def close_session(host: str, port: int, session_id: int) -> bool:
    """Close a session behind its owner's back; False: the server does not know it."""
    with socket.create_connection((host, port), timeout=5) as link, link.makefile("rb") as stream:
        # Protocol, last change seen, timeout, session, password, no read-only server.
        asked = struct.pack(">iqiqi", 0, 0, TIMEOUT_MS, session_id, PASSWORD_BYTES)
        asked += password_of(session_id) + b"\0"
        link.sendall(struct.pack(">i", len(asked)) + asked)
        said = stream.read(4)
        if not said:
            raise ConnectionResetError("it closed the connection")
        (length,) = struct.unpack(">i", said)
        _, _, known = struct.unpack(">iiq", stream.read(length)[:16])
        if not known:
            return False
        link.sendall(struct.pack(">iii", *CLOSE))
        return len(stream.read(4)) == 4
