"""Several writes that are sent together at the end of a block."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from asyncbackends.errors import InvalidRequestError, NotSupportedError
from asyncbackends.object_model.model import ObjectModel
from asyncbackends.object_model.values import canonical_id, checked_text
from asyncbackends.object_model.writes import Relax, UseragentDelete, Write
from asyncbackends.protocols.values import (
    CollectionUpdate,
    Fence,
    Id,
    Json,
    RefOperation,
    WriteResult,
)

__all__ = ("Batch", "Commit", "Queued")

ResultT = TypeVar("ResultT")
Commit = Callable[[Sequence[Write], Fence | None], Awaitable[Sequence[Any]]]
"""An engine's way to apply writes as one unit, giving their results in order."""


class Queued(Generic[ResultT]):
    """A write that is sent at the end of its block."""

    __slots__ = ("_results",)

    def __init__(self) -> None:
        self._results: list[ResultT] = []

    @property
    def result(self) -> ResultT:
        """The result, once the block has ended well.

        :raises InvalidRequestError: it has not, or the batch was refused.
        """
        if not self._results:
            message = "this write was not applied: its batch has not ended, or was refused"
            raise InvalidRequestError(message)
        return self._results[0]

    def settle(self, result: ResultT) -> None:
        """Take the result; the batch does so."""
        self._results.append(result)


class Batch:
    """Collects writes; every method checks its arguments at once and sends nothing.

    The methods are those of the database, with the same meaning, as plain functions.
    """

    def __init__(
        self, model: ObjectModel, commit: Commit, *, fence: Fence | None = None, atomic: bool = True
    ) -> None:
        """Make a batch for one block; engines do so in ``batch()``.

        :param atomic: False for an engine without ATOMIC_BATCH: one object alone.
        """
        self._model = model
        self._commit = commit
        self._fence = fence
        self._atomic = atomic
        self._writes: list[Write] = []
        self._queued: list[Queued[Any]] = []
        self._open = False

    async def __aenter__(self) -> Self:
        """Begin to collect."""
        self._open = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Send all, or after an exception nothing."""
        self._open = False
        if exc is None and self._writes:
            results = await self._commit(self._writes, self._fence)
            for queued, result in zip(self._queued, results, strict=True):
                queued.settle(result)

    def _add(self, write: Write) -> Queued[Any]:
        if not self._open:
            message = "a batch takes writes inside its `async with` block"
            raise InvalidRequestError(message)
        limit = self._model.limits.batch_operations
        if limit is not None and len(self._writes) >= limit:
            message = f"this engine takes {limit} operations in a batch"
            raise InvalidRequestError(message)
        if not self._atomic and self._writes and _subject(self._writes[0]) != _subject(write):
            message = "this engine has no ATOMIC_BATCH: a batch takes writes of one object alone"
            raise NotSupportedError(message, feature="atomic_batch")
        queued: Queued[Any] = Queued()
        self._writes.append(write)
        self._queued.append(queued)
        return queued

    def object_create(
        self, obj_type: str, obj_uuid: Id, obj_dict: Mapping[str, Json]
    ) -> Queued[WriteResult]:
        """Queue an ``object_create``; later writes of the batch may refer to the object."""
        return self._add(self._model.create(obj_type, obj_uuid, obj_dict))

    def object_update(
        self,
        obj_type: str,
        obj_uuid: Id,
        new_obj_dict: Mapping[str, Json],
        *,
        expected_revision: int | None = None,
    ) -> Queued[WriteResult]:
        """Queue an ``object_update``."""
        return self._add(self._model.update(obj_type, obj_uuid, new_obj_dict, expected_revision))

    def object_delete(
        self, obj_type: str, obj_uuid: Id, *, expected_revision: int | None = None
    ) -> Queued[WriteResult]:
        """Queue an ``object_delete``."""
        return self._add(self._model.delete(obj_type, obj_uuid, expected_revision))

    def prop_collection_update(
        self,
        obj_type: str,
        obj_uuid: Id,
        updates: Sequence[CollectionUpdate],
        *,
        expected_revision: int | None = None,
    ) -> Queued[WriteResult]:
        """Queue a ``prop_collection_update``."""
        return self._add(self._model.element_update(obj_type, obj_uuid, updates, expected_revision))

    def ref_update(
        self,
        obj_type: str,
        obj_uuid: Id,
        ref_obj_type: str,
        ref_uuid: Id,
        ref_data: Mapping[str, Json] | None,
        operation: RefOperation,
        *,
        relax_for_delete: bool = False,
        expected_revision: int | None = None,
    ) -> Queued[WriteResult]:
        """Queue a ``ref_update``."""
        write = self._model.ref_update(
            obj_type,
            obj_uuid,
            ref_obj_type,
            ref_uuid,
            ref_data,
            operation,
            relax=relax_for_delete,
            expected_revision=expected_revision,
        )
        return self._add(write)

    def create_ref(
        self,
        obj_type: str,
        obj_uuid: Id,
        ref_obj_type: str,
        ref_uuid: Id,
        ref_data: Mapping[str, Json] | None = None,
        *,
        relax_for_delete: bool = False,
        expected_revision: int | None = None,
    ) -> Queued[WriteResult]:
        """Queue a ``create_ref``."""
        return self.ref_update(
            obj_type,
            obj_uuid,
            ref_obj_type,
            ref_uuid,
            ref_data,
            "ADD",
            relax_for_delete=relax_for_delete,
            expected_revision=expected_revision,
        )

    def delete_ref(
        self,
        obj_type: str,
        obj_uuid: Id,
        ref_obj_type: str,
        ref_uuid: Id,
        *,
        expected_revision: int | None = None,
    ) -> Queued[WriteResult]:
        """Queue a ``delete_ref``."""
        return self.ref_update(
            obj_type,
            obj_uuid,
            ref_obj_type,
            ref_uuid,
            None,
            "DELETE",
            expected_revision=expected_revision,
        )

    def ref_relax_for_delete(self, obj_uuid: Id, ref_uuid: Id) -> Queued[None]:
        """Queue a ``ref_relax_for_delete``."""
        return self._add(Relax(canonical_id(obj_uuid), canonical_id(ref_uuid)))

    def set_shared(
        self,
        obj_type: str,
        obj_id: Id,
        share_id: str = "",
        share_type: str = "global",
        rwx: int = 7,
    ) -> Queued[None]:
        """Queue a ``set_shared``."""
        return self._add(self._model.share(obj_type, obj_id, share_id, share_type, rwx))

    def del_shared(
        self, obj_type: str, obj_id: Id, share_id: str = "", share_type: str = "global"
    ) -> Queued[None]:
        """Queue a ``del_shared``."""
        return self._add(self._model.end_of_share(obj_type, obj_id, share_id, share_type))

    def useragent_kv_store(self, key: str, value: str) -> Queued[None]:
        """Queue a ``useragent_kv_store``."""
        return self._add(self._model.useragent_store(key, value))

    def useragent_kv_delete(self, key: str) -> Queued[None]:
        """Queue a ``useragent_kv_delete``."""
        return self._add(UseragentDelete(checked_text(key, "the useragent key")))

    def kv_put(self, table: str, key: str, columns: Mapping[str, Json]) -> Queued[WriteResult]:
        """Queue a ``kv_put``."""
        return self._add(self._model.kv_put(table, key, columns))

    def kv_replace(
        self,
        table: str,
        key: str,
        columns: Mapping[str, Json],
        *,
        expected_revision: int | None = None,
    ) -> Queued[WriteResult]:
        """Queue a ``kv_replace``."""
        return self._add(self._model.kv_replace(table, key, columns, expected_revision))

    def kv_delete(
        self, table: str, key: str, columns: Sequence[str] | None = None
    ) -> Queued[WriteResult]:
        """Queue a ``kv_delete``."""
        return self._add(self._model.kv_delete(table, key, columns))


def _subject(write: Write) -> tuple[str, ...]:
    """Give what a write is about: an object, or a row."""
    uuid = getattr(write, "uuid", None)
    return (uuid,) if uuid is not None else (getattr(write, "table", ""), getattr(write, "key", ""))
