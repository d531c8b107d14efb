"""Engines that are wrong on purpose: the memory engine with one small change each."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, Self

from asyncbackends.batch import Batch
from asyncbackends.errors import (
    FqNameNotFoundError,
    FqNameTakenError,
    ObjectNotFoundError,
    StillReferencedError,
)
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.values import Change, ConfigObject, Gap, ObjectPage, WriteResult
from asyncbackends.registry import Engine
from asyncbackends_memory import config_database
from asyncbackends_memory.database import MemoryConfigDatabase
from asyncbackends_memory.options import MemoryDatabaseOptions

__all__ = ("WRONG", "right")

Page = ObjectPage[Any]


class Right(MemoryConfigDatabase):
    """The memory engine itself, by the same way."""


class ForgetsBackRef(MemoryConfigDatabase):
    async def object_get(self, *args: Any, **kwargs: Any) -> ConfigObject:
        read = await super().object_get(*args, **kwargs)
        for field in [name for name in read if name.endswith("_back_refs")]:
            del read[field][-1:]
        return read


class OrdersListsAsText(MemoryConfigDatabase):
    async def object_get(self, *args: Any, **kwargs: Any) -> ConfigObject:
        read = await super().object_get(*args, **kwargs)
        if len(read.get("routes", [])) > 10:
            positions = sorted(range(len(read["routes"])), key=str)
            read["routes"] = [read["routes"][position] for position in positions]
        return read


class ReadsStale(MemoryConfigDatabase):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._seen: dict[Any, ConfigObject] = {}

    async def object_get(self, *args: Any, **kwargs: Any) -> ConfigObject:
        read = await super().object_get(*args, **kwargs)
        return self._seen.pop(str(args), None) or self._seen.setdefault(str(args), read)


class AcceptsTakenName(MemoryConfigDatabase):
    async def object_create(self, *args: Any, **kwargs: Any) -> WriteResult:
        try:
            return await super().object_create(*args, **kwargs)
        except FqNameTakenError as refusal:
            held = await super().object_get(args[0], refusal.holder)
            return WriteResult(held.revision, held.last_modified)


class HalfAppliesBatch(MemoryConfigDatabase):
    def batch(self, **kwargs: Any) -> Batch:
        atomic: Any = super().batch(**kwargs)
        commit = atomic._commit

        async def one_by_one(writes: Sequence[Any], fence: Any) -> list[Any]:
            return [(await commit([write], fence))[0] for write in writes]

        atomic._commit = one_by_one
        changed: Batch = atomic
        return changed


class LeaksTask(MemoryConfigDatabase):
    async def connect(self, **params: Any) -> None:
        await super().connect(**params)
        self._leaked = asyncio.create_task(asyncio.sleep(3600), name="leaked on purpose")


class IgnoresExpectedRevision(MemoryConfigDatabase):
    async def object_update(self, *args: Any, **kwargs: Any) -> WriteResult:
        return await super().object_update(*args, **{**kwargs, "expected_revision": None})


class IgnoresStaleFence(MemoryConfigDatabase):
    async def object_delete(self, *args: Any, **kwargs: Any) -> WriteResult:
        return await super().object_delete(*args, **{**kwargs, "fence": None})


class _Feed:
    """A watch whose events are changed by ``edit``: it gives those to hand on."""

    def __init__(self, feed: AbstractAsyncContextManager[AsyncIterator[Any]], edit: Any) -> None:
        self._feed = feed
        self._edit = edit
        self._count = 0
        self._ready: list[Any] = []

    async def __aenter__(self) -> Self:
        self._events = await self._feed.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._feed.__aexit__(None, None, None)

    def __aiter__(self) -> "_Feed":
        return self

    async def __anext__(self) -> Any:
        while not self._ready:
            event = await anext(self._events)
            self._count += 1
            self._ready = self._edit(self._count, event)
        return self._ready.pop(0)


class _Watched(MemoryConfigDatabase):
    @staticmethod
    def edit(count: int, event: Any) -> list[Any]:
        raise NotImplementedError

    def watch(
        self, types: Collection[str] | None = None, since: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Change | Gap]]:
        return _Feed(super().watch(types, since), self.edit)


class LosesEvent(_Watched):
    @staticmethod
    def edit(count: int, event: Any) -> list[Any]:
        return [] if count % 3 == 0 else [event]


class RepeatsEvent(_Watched):
    @staticmethod
    def edit(count: int, event: Any) -> list[Any]:
        return [event, event] if count % 3 == 0 else [event]


class EndsWatchSilently(_Watched):
    @staticmethod
    def edit(count: int, event: Any) -> list[Any]:
        if count > 2:
            raise StopAsyncIteration
        return [event]


class ChangesCallersDict(MemoryConfigDatabase):
    async def object_create(
        self, obj_type: str, obj_uuid: Any, obj_dict: Mapping[str, Any], **kwargs: Any
    ) -> WriteResult:
        result = await super().object_create(obj_type, obj_uuid, obj_dict, **kwargs)
        if isinstance(obj_dict, dict):
            obj_dict["uuid"] = str(obj_uuid)
        return result


class MatchesTrueWithOne(MemoryConfigDatabase):
    async def object_list(self, *args: Any, **kwargs: Any) -> Any:
        changed: dict[str, Any] = dict(kwargs)
        filters: dict[str, list[Any]] = changed.get("filters") or {}
        changed["filters"] = {
            name: [*values, *(int(value) for value in values if value is True)]
            for name, values in filters.items()
        }
        return await super().object_list(*args, **changed)


class GivesEmptyLastPage(MemoryConfigDatabase):
    async def object_list(self, *args: Any, **kwargs: Any) -> Any:
        page: Page = await super().object_list(*args, **kwargs)
        if kwargs.get("limit") and len(page) == kwargs["limit"] and page.marker is None:
            last = page.items[-1]
            return ObjectPage(
                page.items, f"after:{last[1] if 'uuid' not in last else last['uuid']}"
            )
        return page


class DeletesReferenced(MemoryConfigDatabase):
    async def object_delete(self, obj_type: str, obj_uuid: Any, **kwargs: Any) -> WriteResult:
        try:
            return await super().object_delete(obj_type, obj_uuid, **kwargs)
        except StillReferencedError as refusal:
            for holder in refusal.holders:
                await self.ref_relax_for_delete(holder, obj_uuid)
            return await super().object_delete(obj_type, obj_uuid, **kwargs)


class RaisesWrongError(MemoryConfigDatabase):
    async def object_get(self, *args: Any, **kwargs: Any) -> ConfigObject:
        try:
            return await super().object_get(*args, **kwargs)
        except ObjectNotFoundError as error:
            raise FqNameNotFoundError(str(error)) from error


class SkipsMissing(MemoryConfigDatabase):
    async def object_read(self, *args: Any, **kwargs: Any) -> list[ConfigObject]:
        return await super().object_read(*args, **{**kwargs, "missing": "skip"})


class KeepsShares(MemoryConfigDatabase):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._kept: dict[tuple[Any, ...], dict[str, int]] = {}

    async def set_shared(
        self,
        obj_type: str,
        obj_id: Any,
        share_id: str = "",
        share_type: str = "global",
        rwx: int = 7,
    ) -> None:
        await super().set_shared(obj_type, obj_id, share_id, share_type, rwx)
        self._kept.setdefault((obj_type, share_id, share_type), {})[str(obj_id).lower()] = rwx

    async def del_shared(
        self, obj_type: str, obj_id: Any, share_id: str = "", share_type: str = "global"
    ) -> None:
        await super().del_shared(obj_type, obj_id, share_id, share_type)
        self._kept.get((obj_type, share_id, share_type), {}).pop(str(obj_id).lower(), None)

    async def get_shared(
        self, obj_type: str, share_id: str = "", share_type: str = "global"
    ) -> list[tuple[str, int]]:
        shared = dict(await super().get_shared(obj_type, share_id, share_type))
        kept = self._kept.get((obj_type, share_id, share_type), {})
        return sorted((kept | shared).items())


class UpdatesNothingSilently(MemoryConfigDatabase):
    async def object_update(self, *args: Any, **kwargs: Any) -> WriteResult:
        try:
            return await super().object_update(*args, **kwargs)
        except ObjectNotFoundError:
            return WriteResult(await super().current_revision(), datetime.now(UTC))


class CreatesInTwoSteps(MemoryConfigDatabase):
    async def object_create(
        self, obj_type: str, obj_uuid: Any, obj_dict: Mapping[str, Any], **kwargs: Any
    ) -> WriteResult:
        if not isinstance(obj_dict, dict):
            return await super().object_create(obj_type, obj_uuid, obj_dict, **kwargs)
        refs = {name: value for name, value in obj_dict.items() if name.endswith("_refs")}
        plain = {name: value for name, value in obj_dict.items() if name not in refs}
        result = await super().object_create(obj_type, obj_uuid, plain, **kwargs)
        return await super().object_update(obj_type, obj_uuid, refs) if refs else result


class ReadsInOrderOfIds(MemoryConfigDatabase):
    async def object_read(self, *args: Any, **kwargs: Any) -> list[ConfigObject]:
        read = await super().object_read(*args, **kwargs)
        return sorted(read, key=lambda one: str(one["uuid"]))


class ForgetsPeers(MemoryConfigDatabase):
    async def object_update(self, *args: Any, **kwargs: Any) -> WriteResult:
        result = await super().object_update(*args, **kwargs)
        return WriteResult(result.revision, result.last_modified)


class RewritesRepeatedCreate(MemoryConfigDatabase):
    async def object_create(
        self, obj_type: str, obj_uuid: Any, obj_dict: Mapping[str, Any], **kwargs: Any
    ) -> WriteResult:
        before = await super().current_revision()
        result = await super().object_create(obj_type, obj_uuid, obj_dict, **kwargs)
        if result.revision > before:
            return result
        return await super().object_update(obj_type, obj_uuid, {})


class PromisesSharing(MemoryConfigDatabase):
    @property
    def guarantees(self) -> frozenset[Guarantee]:
        return super().guarantees | {Guarantee.SHARED_BETWEEN_PROCESSES}


class PromisesSurvival(MemoryConfigDatabase):
    @property
    def guarantees(self) -> frozenset[Guarantee]:
        return super().guarantees | {Guarantee.SURVIVES_PROCESS_KILL}


class SwallowsCancellation(MemoryConfigDatabase):
    async def kv_put(self, *args: Any, **kwargs: Any) -> WriteResult:
        try:
            return await super().kv_put(*args, **kwargs)
        except asyncio.CancelledError:
            # Half of it: the row is gone, and the caller is not told.
            return await super().kv_delete(*args[:2])


class AnswersAfterShutdown(MemoryConfigDatabase):
    async def get_relaxed_refs(self, obj_uuid: Any) -> list[str]:
        try:
            return await super().get_relaxed_refs(obj_uuid)
        except Exception:  # noqa: BLE001  # wrong on purpose
            return []


WRONG: dict[str, type[MemoryConfigDatabase]] = {
    kind.__name__: kind
    for kind in (
        ForgetsBackRef,
        OrdersListsAsText,
        ReadsStale,
        AcceptsTakenName,
        HalfAppliesBatch,
        LeaksTask,
        IgnoresExpectedRevision,
        IgnoresStaleFence,
        LosesEvent,
        RepeatsEvent,
        EndsWatchSilently,
        ChangesCallersDict,
        MatchesTrueWithOne,
        GivesEmptyLastPage,
        DeletesReferenced,
        RaisesWrongError,
        SkipsMissing,
        KeepsShares,
        UpdatesNothingSilently,
        CreatesInTwoSteps,
        ReadsInOrderOfIds,
        ForgetsPeers,
        RewritesRepeatedCreate,
        PromisesSharing,
        PromisesSurvival,
        SwallowsCancellation,
        AnswersAfterShutdown,
    )
}
"""By name; each is an engine ``tests.kit.wrong_engines:<name>_engine``."""


def engine_of_class(
    database: type[MemoryConfigDatabase],
) -> Engine[MemoryDatabaseOptions, MemoryConfigDatabase]:
    """Describe a class as an adapter would."""
    return Engine(
        kind=config_database.kind,
        name="memory",
        options=MemoryDatabaseOptions,
        load=lambda: database,
        guarantees=config_database.guarantees,
    )


right = engine_of_class(Right)


def __getattr__(name: str) -> Engine[MemoryDatabaseOptions, MemoryConfigDatabase]:
    """Give ``<name>_engine`` for every wrong class."""
    wrong = WRONG.get(name.removesuffix("_engine"))
    if wrong is None or not name.endswith("_engine"):
        raise AttributeError(name)
    return engine_of_class(wrong)
