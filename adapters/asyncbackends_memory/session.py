"""One opener of a store: its lifecycle, and the way of every operation through the switchboard."""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from asyncbackends.coercion import changed_options
from asyncbackends.errors import ConfigurationError
from asyncbackends.object_model import changes
from asyncbackends.object_model.applying import Refused, Writer, itself
from asyncbackends.object_model.model import ObjectModel
from asyncbackends.object_model.tables import Row, Unit
from asyncbackends.object_model.values import canonical_id
from asyncbackends.object_model.writes import PlainWrite, RevisedWrite, Write
from asyncbackends.observability import LinkStates, Seam
from asyncbackends.owner import Owner
from asyncbackends.protocols.backend import ConnectionState, Kind
from asyncbackends.protocols.guarantees import STRICT_ONLY, Guarantee, Limits
from asyncbackends.protocols.values import Fence, Id, WriteResult
from asyncbackends.schema import Schema, reconcile
from asyncbackends_memory.options import DATABASE_GUARANTEES, MemoryDatabaseOptions
from asyncbackends_memory.sharing import the_one_name
from asyncbackends_memory.store import Store, store
from asyncbackends_memory.switchboard import faults

__all__ = ("Session",)

ResultT = TypeVar("ResultT")


class Session:
    """Opens and closes a store, and applies reads and writes to it."""

    def __init__(self, endpoints: Sequence[str], options: MemoryDatabaseOptions) -> None:
        self._name = the_one_name(endpoints)
        self._options = options
        self.limits = Limits()
        self.seam = Seam(Kind.CONFIG_DATABASE, "memory", lambda _: None)
        self.links = LinkStates(self.seam)
        self.faults = faults(self._name)
        self._owner = Owner(f"config database (memory, {self._name})")
        self._model = ObjectModel(Schema(), self.limits)
        self._store: Store | None = None
        self._leave: Callable[[], None] | None = None

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        """What holds with these options."""
        legacy = self._options.integrity == "legacy"
        return DATABASE_GUARANTEES - STRICT_ONLY if legacy else DATABASE_GUARANTEES

    async def connect(self, **params: Any) -> None:
        """Join the store."""
        if self._owner.started:
            message = "the config database was connected already; make another one"
            raise ConfigurationError(message)
        self._options = changed_options(self._options, params)
        await self._owner.start(self._open, self._close)

    async def _open(self) -> None:
        self.links.set(ConnectionState.CONNECTING, self._name)
        opened, self._leave = store(self._name, self._options.namespace)
        await self.faults.before("connect", self._options.connect_timeout)
        self._store = opened
        self.use_schema(self._options.schema)
        self.faults.join(self)
        self.links.set(ConnectionState.CONNECTED, self._name)

    async def _close(self, grace: float) -> None:
        self.faults.leave(self)
        self.links.set(ConnectionState.CLOSED, self._name)
        if self._leave is not None:
            self._leave()
            self._leave = None

    async def shutdown(self, grace: float) -> None:
        """Leave the store; the last one to leave drops it."""
        await self._owner.stop(grace)

    def link_changed(self, state: ConnectionState, reason: str | None) -> None:
        """Hear from the switchboard."""
        self.links.set(state, self._name, reason)

    def use_schema(self, schema: Schema | None) -> None:
        """Store a schema, or use the stored one."""
        opened = self._store
        if opened is not None:
            in_force = reconcile(schema, opened.schema)
            if schema is not None:
                opened.schema = in_force
            self._model = ObjectModel(in_force, self.limits, self._options.integrity)

    def opened(self) -> Store:
        """Give the store.

        :raises BackendClosedError: it is not open.
        """
        self._owner.check()
        assert self._store is not None  # noqa: S101  # an owner that is open has opened it
        return self._store

    def rules(self) -> ObjectModel:
        """Give the rules of the schema in force."""
        self._owner.check()
        return self._model

    async def read(self, operation: str, work: Callable[[Store], ResultT]) -> ResultT:
        """Read from the store."""
        self._owner.check()
        await self.faults.before(operation, self._options.operation_timeout)
        result = work(self.opened())
        self.faults.after(operation, wrote=False)
        return result

    async def object_row(self, operation: str, obj_uuid: Id) -> Row:
        """Read an object of whatever type.

        :raises ObjectNotFoundError: there is none with that id.
        """
        uuid = canonical_id(obj_uuid)
        row = await self.read(operation, lambda opened: opened.objects.get(uuid))
        if row is None:
            raise changes.not_found("object", uuid)
        return row

    @overload
    async def write(
        self, operation: str, write: RevisedWrite, fence: Fence | None = None
    ) -> WriteResult: ...

    @overload
    async def write(self, operation: str, write: PlainWrite) -> None: ...

    async def write(self, operation: str, write: Write, fence: Fence | None = None) -> Any:
        """Apply one write."""
        return (await self.apply(operation, [write], fence, itself))[0]

    async def apply(
        self,
        operation: str,
        writes: Sequence[Write],
        fence: Fence | None,
        refused: Refused,
    ) -> list[Any]:
        """Apply writes as one unit; ``refused`` gives the error when one of them is refused."""
        self._owner.check()
        await self.faults.before(operation, self._options.operation_timeout)
        opened = self.opened()
        unit = Unit(opened, time.time_ns() // 1000)
        try:
            results = self._apply(operation, unit, writes, fence, refused)
        except BaseException:
            unit.take_back()
            raise
        opened.commit(unit, self._options.watch_history)
        self.faults.after(operation, wrote=True)
        return results

    def _apply(
        self,
        operation: str,
        unit: Unit,
        writes: Sequence[Write],
        fence: Fence | None,
        refused: Refused,
    ) -> list[WriteResult | None]:
        writer = Writer(unit, strict=self._model.strict)
        after_write = self.faults.inside(operation)
        results: list[WriteResult | None] = []
        if fence is not None:
            writer.raise_fence(fence)
        for index, write in enumerate(writes):
            results.append(writer.apply_nth(index, write, refused))
            if after_write is not None:
                after_write(index)
        return results
