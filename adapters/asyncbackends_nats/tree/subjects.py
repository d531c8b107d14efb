"""Which subject holds what in the stream of one namespace. Pure.

``n`` nodes, ``l`` nodes whose subject would be too long, ``g`` where contenders come and go, ``s``
sessions, ``t`` marks of time, ``x`` nothing: conditions travel on it, ``r`` the stream's own mark.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import quote, unquote

from asyncbackends.coordination.paths import ROOT, name, parent
from asyncbackends.protocols.nodes import WatchScope
from asyncbackends_nats.names import text_of, token

__all__ = ("Subjects", "path_header")

LONGEST: Final = 3000
"""Characters of a subject: a server takes lines of 4096, and there is more on one."""
LONGEST_TOKEN: Final = 3 * 255 + 1
PATH: Final = "Ab-Path"


def path_header(path: str) -> bytes:
    """Give the line that says the path where the subject does not."""
    return f"{PATH}: {quote(path)}\r\n".encode()


class Subjects:
    """The stream and the subjects of one namespace."""

    def __init__(self, namespace: str) -> None:
        own = token(namespace)
        self.stream = f"ABC-{own}"
        self.prefix = f"abc.{own}"
        self.everything = f"{self.prefix}.>"
        self.conditions = f"{self.prefix}.x"
        self.birth = f"{self.prefix}.r"
        """The one message that is there for as long as the stream is, and was not purged."""
        self.all_sessions = f"{self.prefix}.s.*"
        self.all_marks = f"{self.prefix}.t.*"
        self.all_long = f"{self.prefix}.l.>"
        self._nodes = f"{self.prefix}.n"
        self._skipped = len(self.prefix) + 3
        self.node = lru_cache(maxsize=8192)(self._node)

    def session(self, session_id: str) -> str:
        """Give the subject of a session; its id was made by a client of ours, or is read back."""
        return f"{self.prefix}.s.{token(session_id)}"

    def session_of(self, subject: str) -> str | None:
        """Give the id of the session that a subject stands for."""
        start = f"{self.prefix}.s."
        return text_of(subject[len(start) :]) if subject.startswith(start) else None

    def mark(self, number: int) -> str:
        """Give the subject of a mark of time."""
        return f"{self.prefix}.t.{number}"

    def _plain(self, path: str) -> str:
        return f"{self._nodes}.{'.'.join(map(token, path[1:].split('/')))}"

    def _node(self, path: str) -> str:
        plain = self._plain(path)
        if len(plain) <= LONGEST:
            return plain
        return f"{self.prefix}.l.{_digest(parent(path))}.{_digest(name(path))}"

    def is_long(self, subject: str) -> bool:
        """Say whether a subject does not tell its path."""
        return subject.startswith(f"{self.prefix}.l.")

    def contended(self, path: str) -> str:
        """Give the subject that says that entries below a path go without a trace."""
        return f"{self.prefix}.g.{'.'.join(map(token, path[1:].split('/')))}"

    def is_contest(self, subject: str) -> bool:
        """Say whether it is such a subject."""
        return subject.startswith(f"{self.prefix}.g.")

    def below(self, path: str) -> Sequence[str]:
        """Give filters for all that is below a path; those of long subjects catch others, too."""
        if path == ROOT:
            return [f"{self._nodes}.>", self.all_long]
        plain = self._plain(path)
        return [f"{plain}.>", self.all_long] if len(plain) <= LONGEST else [self.all_long]

    def children(self, path: str) -> Sequence[str]:
        """Give filters for the direct children of a path."""
        if path == ROOT:
            return [f"{self._nodes}.*"]
        plain = self._plain(path)
        found = [f"{plain}.*"] if len(plain) < LONGEST else []
        if len(plain) + 1 + LONGEST_TOKEN > LONGEST:
            found.append(f"{self.prefix}.l.{_digest(path)}.*")
        return found

    def watched(self, path: str, scope: WatchScope) -> list[str]:
        """Give filters for what a watch covers."""
        if scope == "children":
            found = [*self.children(path)]
        elif scope == "tree":
            found = [*self.below(path)]
        else:
            found = []
        if scope != "children" and path != ROOT:
            found.append(self.node(path))
        return found

    def contests(self, path: str, scope: WatchScope) -> list[str]:
        """Give filters for where contenders come and go in a watch's scope."""
        if scope == "node":
            return [self.contended(parent(path))]
        own = self.contended(path)
        if scope == "children":
            return [own]
        return [f"{self.prefix}.g.>"] if path == ROOT else [own, f"{own}.>"]

    def path_of(self, subject: str, headers: bytes) -> str | None:
        """Give the path of a node; None for what is none."""
        kind = subject[self._skipped - 2 : self._skipped - 1]
        if kind == "n":
            return "/" + "/".join(map(_text, subject[self._skipped :].split(".")))
        if kind != "l":
            return None
        start = headers.find(f"\r\n{PATH}: ".encode())
        if start < 0:
            return None
        start += len(PATH) + 4
        return unquote(headers[start : headers.index(b"\r\n", start)].decode("ascii", "replace"))


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


_text = lru_cache(maxsize=8192)(text_of)
