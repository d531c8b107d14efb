"""Operations on nodes that are noted one by one and applied together."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Self, TypeAlias

import msgspec

from asyncbackends.coordination.paths import (
    MAX_VALUE_BYTES,
    changeable_path,
    checked_path,
    checked_value,
)
from asyncbackends.errors import InvalidRequestError
from asyncbackends.protocols.nodes import NodeStat, NodeValue, Ticket

__all__ = (
    "MAX_OPERATIONS",
    "CheckExists",
    "CheckVersion",
    "Commit",
    "Create",
    "Delete",
    "Guard",
    "NodeOperation",
    "NodeTransaction",
    "Update",
    "checked_version",
)

MAX_OPERATIONS: Final = 100


class CheckVersion(msgspec.Struct, frozen=True):
    """The node must have this version."""

    path: str
    version: int


class CheckExists(msgspec.Struct, frozen=True):
    """The node must be there, or must not."""

    path: str
    exists: bool


class Create(msgspec.Struct, frozen=True):
    """Make a node."""

    path: str
    value: bytes = b""
    ephemeral: bool = False
    make_parents: bool = True


class Update(msgspec.Struct, frozen=True):
    """Replace a node's value."""

    path: str
    value: bytes
    expected_version: int | None = None


class Delete(msgspec.Struct, frozen=True):
    """Take a node away."""

    path: str
    recursive: bool = False
    expected_version: int | None = None


class Guard(msgspec.Struct, frozen=True):
    """The contender's entry must be there and be the same."""

    ticket: Ticket


NodeOperation: TypeAlias = CheckVersion | CheckExists | Create | Update | Delete | Guard

Commit: TypeAlias = Callable[[Sequence[NodeOperation]], Awaitable[list[NodeStat | None]]]
"""An engine's way to apply operations as a whole, giving a stat for each create and update."""


class NodeTransaction:
    """Implements :class:`asyncbackends.protocols.coordination.Transaction`.

    Arguments are checked when an operation is noted, the limits at the commit.
    """

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self._operations: list[NodeOperation] = []
        self._committed = False

    def check(self, path: str, *, version: int | None = None, exists: bool | None = None) -> Self:
        """Demand that a node has a version, or that it exists or not."""
        checked_path(path)
        if exists is None and version is not None:
            checked_version(version, "version")
            return self._note(CheckVersion(path, version))
        if version is None and type(exists) is bool:
            return self._note(CheckExists(path, exists))
        message = f"a check of {path!r} takes exactly one of version (int) and exists (bool)"
        raise InvalidRequestError(message)

    def create(
        self,
        path: str,
        value: NodeValue = None,
        *,
        ephemeral: bool = False,
        make_parents: bool = True,
    ) -> Self:
        """Make a node."""
        return self._note(Create(checked_path(path), checked_value(value), ephemeral, make_parents))

    def update(self, path: str, value: NodeValue, *, expected_version: int | None = None) -> Self:
        """Replace a value."""
        version = checked_version(expected_version, "expected_version")
        return self._note(Update(changeable_path(path), checked_value(value), version))

    def delete(self, path: str, *, expected_version: int | None = None) -> Self:
        """Take a node without children away."""
        version = checked_version(expected_version, "expected_version")
        return self._note(Delete(changeable_path(path), expected_version=version))

    def guard(self, ticket: Ticket) -> Self:
        """Demand that a contender's entry is still there."""
        if not isinstance(ticket, Ticket):
            message = f"a transaction is guarded by a Ticket, not by {ticket!r}"
            raise InvalidRequestError(message)
        return self._note(Guard(ticket))

    def _note(self, operation: NodeOperation) -> Self:
        self._check_open()
        self._operations.append(operation)
        return self

    def _check_open(self) -> None:
        if self._committed:
            message = "the transaction was committed already; begin another one"
            raise InvalidRequestError(message)

    async def commit(self) -> list[NodeStat | None]:
        """Apply all, once."""
        self._check_open()
        self._committed = True
        if len(self._operations) > MAX_OPERATIONS:
            message = (
                f"a transaction has at most {MAX_OPERATIONS} operations, "
                f"this one {len(self._operations)}"
            )
            raise InvalidRequestError(message)
        size = sum(
            len(operation.value)
            for operation in self._operations
            if isinstance(operation, Create | Update)
        )
        if size > MAX_VALUE_BYTES:
            message = (
                f"a transaction has at most {MAX_VALUE_BYTES} bytes of values, this one {size}"
            )
            raise InvalidRequestError(message)
        return await self._commit(tuple(self._operations))


def checked_version(version: int | None, what: str) -> int | None:
    """Give a version, or None.

    :raises InvalidRequestError: it is neither; ``what`` names the argument.
    """
    if version is not None and type(version) is not int:
        message = f"{what} is the int that a stat gave, not {version!r}"
        raise InvalidRequestError(message)
    return version
