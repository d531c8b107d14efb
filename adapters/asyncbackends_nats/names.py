"""How names become tokens of NATS, and back. Pure."""

import re
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import unquote_to_bytes

__all__ = ("Names", "short", "text_of", "token")

UNSAFE = re.compile(rb"[^A-Za-z0-9_]")
EMPTY: Final = "="
LONGEST: Final = 200
"""Of a token in the name of a stream or a consumer, which ends at 255."""


@lru_cache(maxsize=4096)
def token(name: str) -> str:
    """Escape a name to one token: no dot, no blank, no wildcard, and no two names the same."""
    escaped = UNSAFE.sub(lambda found: b"=%02X" % found[0][0], name.encode())
    return escaped.decode() or EMPTY


def text_of(token: str) -> str:
    """Give the name that was escaped; a foreign token is taken as it is where it is none of ours."""
    if token == EMPTY:
        return ""
    return unquote_to_bytes(token.replace("%", "%25").replace("=", "%")).decode("utf-8", "replace")


def short(token: str) -> str:
    """Give a token as the name of a stream or a consumer takes it."""
    if len(token) <= LONGEST:
        return token
    digest = sha256(token.encode()).hexdigest()[:32]
    # No escaped name has two of these signs in a row.
    return f"{token[: LONGEST - 34]}=={digest}"


class Names:
    """Streams, consumers and subjects of one namespace."""

    def __init__(self, namespace: str) -> None:
        self._namespace = token(namespace)
        self.register = f"AB-{self._namespace}"
        """The stream that keeps what queues were declared as."""
        self.records = f"abq.{self._namespace}"
        self.keys = f"abk.{self._namespace}"
        self._places: dict[bytes, tuple[str, str]] = {}

    def stream(self, exchange: str) -> str:
        """Give the stream of an exchange."""
        return f"AB-{self._namespace}-{short(token(exchange))}"

    def subjects(self, exchange: str) -> str:
        """Give the subjects of all messages of an exchange."""
        return f"ab.{self._namespace}.{token(exchange)}.>"

    def subject(self, exchange: str, routing_key: str) -> str:
        """Give the subject of a message."""
        return f"ab.{self._namespace}.{token(exchange)}.{token(routing_key)}"

    def nothing(self, exchange: str) -> str:
        """Give a subject of an exchange that no message has."""
        return f"ab.{self._namespace}.{token(exchange)}.=.="

    def record(self, queue: str) -> str:
        """Give the subject of a queue's record."""
        return f"{self.records}.{token(queue)}"

    def key(self, queue: str, routing_key: str) -> str:
        """Give the subject that says that a queue is bound with a routing key."""
        return f"{self.keys}.{token(queue)}.{token(routing_key)}"

    def presence(self, queue: str) -> str:
        """Give the subject on which the consumers of a queue answer one another."""
        return f"abp.{self._namespace}.{token(queue)}"

    def place(self, subject: bytes) -> tuple[str, str]:
        """Give the exchange and the routing key of a message's subject."""
        found = self._places.get(subject)
        if found is None:
            if len(self._places) >= 4096:
                self._places.clear()
            words = subject.decode("utf-8", "replace").split(".", 3)
            exchange, key = words[2:] if len(words) == 4 else ("", "")
            found = self._places[subject] = text_of(exchange), text_of(key)
        return found
