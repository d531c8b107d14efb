"""How neutral SQL becomes a server's.

Neutral SQL writes ``~object`` for a table of the namespace, ``?`` for a parameter, `` IN ?`` for a
parameter that is a sequence and never empty, ``ID(x)`` for a uuid as canonical text, ``TEXT(x)``
for a name as text and ``FORCE(i)`` for an index to be used where the server does not see it.
"""

from typing import Any, Protocol

__all__ = ("Dialect",)


class Dialect(Protocol):
    """How one kind of server wants statements and uuids."""

    def rendered(self, statement: str, namespace: str) -> str:
        """Give a neutral statement as ``Connection.fetch`` takes it."""
        ...

    def id(self, uuid: str) -> Any:
        """Give the parameter for a canonical uuid."""
        ...
