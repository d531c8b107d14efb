"""Answers of two databases in a form in which they must be equal."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import msgspec

from asyncbackends.errors import (
    BackendError,
    FqNameTakenError,
    HasChildrenError,
    RevisionConflictError,
    StaleFenceError,
    StillReferencedError,
    TransactionFailedError,
)
from asyncbackends.object_model.values import json_equal
from asyncbackends.protocols.values import Change, ConfigObject, ObjectPage, WriteResult

__all__ = (
    "Refusal",
    "Revisions",
    "plain",
    "same",
)


class Refusal(msgspec.Struct, frozen=True):
    """An error: its type, and what a caller can tell from it."""

    error: str
    about: Any = None


class Revisions:
    """Which revision of the one database is which of the other.

    Engines may count differently; but equal stays equal, and later stays later.
    """

    def __init__(self, *, ordered: bool) -> None:
        self._ordered = ordered
        self._reference_of: dict[int, int] = {0: 0}

    def same(self, subject: int, reference: int) -> bool:
        """Say whether two revisions mean the same write, as far as is known."""
        known = self._reference_of.setdefault(subject, reference)
        if not self._ordered or known != reference:
            return known == reference
        pairs = sorted(self._reference_of.items())
        at = pairs.index((subject, reference))
        before = at == 0 or pairs[at - 1][1] < reference
        after = at == len(pairs) - 1 or reference < pairs[at + 1][1]
        return before and after


def _refusal(error: BackendError) -> Refusal:
    """Give what two databases must agree on about an error."""
    about: Any = None
    match error:
        case TransactionFailedError():
            about = (error.index, _refusal(error.error))
        case FqNameTakenError():
            about = error.holder
        case StillReferencedError():
            about = error.holders
        case HasChildrenError():
            about = error.children
        case StaleFenceError():
            about = (error.name, error.fence, error.highest)
        case RevisionConflictError():
            about = _Revision(error.actual)
        case _:
            pass
    return Refusal(type(error).__name__, about)


class _Revision(msgspec.Struct, frozen=True):
    number: int


def _plain_page(page: ObjectPage[Any]) -> dict[str, Any]:
    """Give a page, and whether there is another one, without its marker."""
    return {"items": plain(page.items), "more": page.marker is not None}


def plain(answer: Any) -> Any:
    """Give an answer without times and markers, revisions marked as such."""
    match answer:
        case BackendError():
            return _refusal(answer)
        case WriteResult():
            return {"revision": _Revision(answer.revision), "peers": list(answer.peers)}
        case ConfigObject():
            assert answer.created <= answer.last_modified
            return {"revision": _Revision(answer.revision), "content": dict(answer)}
        case ObjectPage():
            return _plain_page(cast("Any", answer))
        case Change():
            change = [answer.op, answer.obj_type, answer.uuid]
            return {"revision": _Revision(answer.revision), "change": change}
        case list() | tuple():
            items = cast("Sequence[Any]", answer)
            return [plain(item) for item in items]
        case dict():
            fields = cast("Mapping[Any, Any]", answer)
            return {name: plain(item) for name, item in fields.items()}
        case datetime():
            return None
        case _:
            return answer


def same(subject: Any, reference: Any, revisions: Revisions) -> bool:
    """Say whether two databases gave the same answer."""
    return _same(plain(subject), plain(reference), revisions.same)


def _same(subject: Any, reference: Any, same_revision: Callable[[int, int], bool]) -> bool:
    if type(subject) is not type(reference):
        return json_equal(subject, reference)
    if isinstance(subject, _Revision):
        return same_revision(subject.number, reference.number)
    if isinstance(subject, Refusal):
        return subject.error == reference.error and _same(
            subject.about, reference.about, same_revision
        )
    if isinstance(subject, dict):
        ours = cast("Mapping[Any, Any]", subject)
        return ours.keys() == reference.keys() and all(
            _same(item, reference[name], same_revision) for name, item in ours.items()
        )
    if isinstance(subject, (list, tuple)):
        some, others = cast("Sequence[Any]", subject), cast("Sequence[Any]", reference)
        return len(some) == len(others) and all(
            _same(one, other, same_revision) for one, other in zip(some, others, strict=True)
        )
    return json_equal(subject, reference)
