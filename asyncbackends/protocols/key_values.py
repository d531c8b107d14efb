"""The narrow Protocols for plain keys and values, and for freshness."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol, overload, runtime_checkable

from asyncbackends.protocols.values import Fence, Id, Json, ObjectPage, WriteResult

__all__ = ("Freshness", "SupportsKeyValue", "UseragentKeyValue")


class UseragentKeyValue(Protocol):
    """Text by key, kept for OpenStack plug-ins."""

    async def useragent_kv_store(self, key: str, value: str) -> None:
        """Store a value, over an older one."""
        ...

    @overload
    async def useragent_kv_retrieve(self, key: str) -> str: ...

    @overload
    async def useragent_kv_retrieve(self, key: list[str]) -> dict[str, str]: ...

    async def useragent_kv_retrieve(self, key: str | list[str]) -> str | dict[str, str]:
        """Read one value, or those of a list of keys as a dict; absent keys of a list are absent.

        :raises UseragentKeyNotFoundError: the one key is not there.
        """
        ...

    async def useragent_kv_delete(self, key: str) -> None:
        """Delete a key.

        :raises UseragentKeyNotFoundError: it is not there.
        """
        ...


class Freshness(Protocol):
    """Whether a copy is still current, and default permissions."""

    async def is_latest(self, id: Id, tstamp: str | int | datetime) -> bool:
        """Say whether the object is unchanged since then.

        :param tstamp: an int is a revision; text (ISO 8601, UTC if it names no zone) or a
            datetime is a ``last_modified``.
        :raises ObjectNotFoundError: there is no object with that id.
        """
        ...

    async def update_perms2(self, obj_uuid: Id) -> WriteResult | None:
        """Write a default ``perms2`` where the type declares that property and the object has none.

        The owner is ``id_perms.permissions.owner`` ('' without one), owner_access 7,
        global_access 0, share [].

        :returns: None when there was nothing to write.
        :raises ObjectNotFoundError: there is no object with that id.
        """
        ...


@runtime_checkable
class SupportsKeyValue(Protocol):
    """Rows of columns in named tables: what daemons keep next to the objects.

    Tables and keys are text of 1 to 255 bytes, made by their first row; columns are text, their
    values JSON.
    """

    async def kv_get(self, table: str, key: str) -> dict[str, Json]:
        """Read a row as ``{column: value}``.

        :raises NotFoundError: there is no such row.
        """
        ...

    async def kv_put(
        self, table: str, key: str, columns: Mapping[str, Json], *, fence: Fence | None = None
    ) -> WriteResult:
        """Set columns of a row and leave its others alone.

        :raises StaleFenceError: as in :meth:`.Objects.object_create`.
        """
        ...

    async def kv_delete(
        self,
        table: str,
        key: str,
        columns: Sequence[str] | None = None,
        *,
        fence: Fence | None = None,
    ) -> WriteResult:
        """Delete columns of a row, or the row; what is not there is no error.

        :raises StaleFenceError: as in :meth:`.Objects.object_create`.
        """
        ...

    async def kv_replace(
        self,
        table: str,
        key: str,
        columns: Mapping[str, Json],
        *,
        expected_revision: int | None = None,
        fence: Fence | None = None,
    ) -> WriteResult:
        """Make ``columns`` the whole row.

        :param expected_revision: write only if the row's last write had this revision; 0 is a row
            that is not there.
        :raises RevisionConflictError: it is at another revision.
        :raises StaleFenceError: as in :meth:`.Objects.object_create`.
        """
        ...

    async def kv_list(
        self, table: str, *, marker: str | None = None, limit: int | None = None
    ) -> ObjectPage[tuple[str, dict[str, Json]]]:
        """List the rows of a table as (key, columns), ordered by key as text."""
        ...
