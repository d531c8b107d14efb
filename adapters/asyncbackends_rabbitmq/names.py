"""What exchanges and queues are called at the broker. Pure."""

from hashlib import sha256
from typing import Final

__all__ = ("Names",)

REGISTER: Final = "#options"
MEMBERS: Final = "#queues"
LONGEST: Final = 120
"""A stream's folder is named after it, with more in front and behind, in 255 bytes at most."""
MOST: Final = 10_000


class Names:
    """The names of one namespace: with it in front, or bare where it is empty."""

    def __init__(self, namespace: str) -> None:
        self._prefix = f"{namespace}." if namespace else ""
        self._own: dict[bytes, str] = {}

    def exchange(self, name: str) -> str:
        """Give an exchange's name at the broker."""
        return self._prefix + name

    def queue(self, name: str) -> str:
        """Give a queue's name at the broker."""
        return self._prefix + name

    def register(self, queue: str) -> str:
        """Give the stream that tells a queue's exchange and options."""
        return self._stream(queue, REGISTER)

    def members(self, exchange: str) -> str:
        """Give the stream that tells an exchange's queues."""
        return self._stream(exchange, MEMBERS)

    def _stream(self, name: str, suffix: str) -> str:
        # No name of ours has this character, so none is taken for a stream.
        if len(name) > LONGEST:
            name = f"#{sha256(name.encode()).hexdigest()}"
        return f"{self._prefix}{name}{suffix}"

    def own(self, name: bytes) -> str:
        """Give the name that we know a broker's name by."""
        found = self._own.get(name)
        if found is None:
            found = name.decode("utf-8", "replace").removeprefix(self._prefix)
            if len(self._own) >= MOST:
                self._own.clear()
            self._own[name] = found
        return found
