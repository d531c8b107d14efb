"""Writes of one operation: each one request where nothing stands in its way."""

import asyncio
from collections.abc import Sequence
from typing import Final

from asyncbackends.coordination import refusals
from asyncbackends.coordination.contending import is_entry_name
from asyncbackends.coordination.paths import ROOT, ancestors, name, parent
from asyncbackends.coordination.transaction import Create, Delete, Guard, NodeOperation, Update
from asyncbackends.coordination.wire import RefusedError
from asyncbackends.errors import (
    HasChildrenError,
    InvalidRequestError,
    NodeExistsError,
    NodeNotFoundError,
    RevisionConflictError,
)
from asyncbackends.protocols.nodes import NodeStat, Ticket
from asyncbackends_zookeeper.codes import Code, Op, ours
from asyncbackends_zookeeper.connection import Connection
from asyncbackends_zookeeper.jute import (
    EPHEMERAL,
    PERSISTENT,
    Znode,
    create_body,
    delete_body,
    read_body,
    set_body,
    znode_after_text,
    znode_at,
)
from asyncbackends_zookeeper.multi import (
    ENTRY_VERSION,
    Failure,
    Part,
    arrived,
    created,
    created_with_stat,
    multi_body,
    results_of,
)
from asyncbackends_zookeeper.names import Names
from asyncbackends_zookeeper.reading import Reading
from asyncbackends_zookeeper.subtrees import delete_tree
from asyncbackends_zookeeper.transacting import Transacting

__all__ = ("Applying",)

ANY: Final = -1
"""The version that every node has."""
MOST_ENTRIES: Final = 10_000
REFUSALS: Final = (
    HasChildrenError,
    InvalidRequestError,
    NodeExistsError,
    NodeNotFoundError,
    RevisionConflictError,
)


class Applying:
    """Applies operations over one connection; with a single one none of several is to blame."""

    def __init__(self, connection: Connection, names: Names, reading: Reading, acl: bytes) -> None:
        self._connection = connection
        self._names = names
        self._reading = reading
        self._acl = acl
        self._entries: dict[str, int] = {}
        """By path, the changes that made entries that were not withdrawn yet."""
        self._going: set[asyncio.Task[None]] = set()
        self._transacting = Transacting(connection, names, reading, acl)

    async def apply(self, operations: Sequence[NodeOperation]) -> list[NodeStat | None]:
        """See :meth:`asyncbackends.coordination.wire.CoordinationLink.apply`."""
        try:
            match operations:
                case [Create() as create]:
                    return [await self._create(create)]
                case [Update() as update]:
                    return [await self._update(update)]
                case [Delete() as delete]:
                    await self._delete(delete)
                    return [None]
                case [Guard(ticket), Delete(path, _, None)] if path == ticket.path:
                    await self._withdraw(ticket)
                    return [None, None]
                case _:
                    return await self._transacting.apply(operations)
        except REFUSALS as error:
            raise RefusedError(0, error) from error

    async def arrive(self, entry: Create) -> tuple[NodeStat, bool]:
        """See :class:`asyncbackends.coordination.wire.CoordinationLink`."""
        path, own = entry.path, name(entry.path)
        parts = arrived(self._names.znode(path), entry.value, self._acl)
        made, listing = self._connection.begin(
            (Op.MULTI, multi_body(parts)),
            (Op.GET_CHILDREN, read_body(self._names.znode(parent(path)))),
        )
        code, frame = await made
        results = results_of(frame) if code == Code.OK else None
        znode = results[-1] if isinstance(results, list) else None
        if znode is not None:
            stat = znode.stat(path)
            if len(self._entries) < MOST_ENTRIES:
                self._entries[path] = znode.czxid
            listed = await self._reading.listed(listing)
        else:
            try:
                stat = await self._create(entry)
            except REFUSALS as error:
                raise RefusedError(0, error) from error
            listed = await self._reading.listed_now(parent(path))
        return stat, [one for one in listed if is_entry_name(one)] == [own]

    async def _create(self, create: Create) -> NodeStat:
        path = create.path
        if path == ROOT:
            raise refusals.node_exists(ROOT, await self._reading.stat(ROOT))
        flags = EPHEMERAL if create.ephemeral else PERSISTENT
        body = create_body(self._names.znode(path), create.value, self._acl, flags)
        while True:
            code, frame = await self._connection.ask(Op.CREATE2, body)
            znode = znode_after_text(frame)[0] if code == Code.OK else None
            if code == Code.NO_NODE:
                if not create.make_parents and parent(path) != ROOT:
                    raise refusals.no_parent(path, parent(path))
                code, znode = await self._create_with_parents(create)
            if znode is not None:
                return znode.stat(path)
            if code == Code.NODE_EXISTS:
                stat = await self._reading.stat(path)
                if stat is not None:
                    raise refusals.node_exists(path, stat)
            elif code == Code.EPHEMERAL_PARENT:
                raise refusals.under_ephemeral(path, parent(path))
            elif code != Code.NO_NODE:
                raise ours(code, f"making {path!r}")

    async def _create_with_parents(self, create: Create) -> tuple[int, Znode | None]:
        """Make what is missing above a node, and the node; or say why not."""
        path = create.path
        above = [ROOT, *ancestors(path)]
        present = await self._reading.znodes(above)
        missing = [one for one in above if one not in present]
        parts: list[Part] = []
        for one in missing:
            parts += created(self._names.znode(one), self._acl)
        parts += created_with_stat(
            self._names.znode(path), create.value, self._acl, ephemeral=create.ephemeral
        )
        code, frame = await self._connection.ask(Op.MULTI, multi_body(parts))
        if code != Code.OK:
            return code, None
        results = results_of(frame)
        if not isinstance(results, Failure):
            return Code.OK, results[-1]
        if results.code == Code.EPHEMERAL_PARENT:
            raise refusals.under_ephemeral(path, parent((missing or [path])[0]))
        if results.code == Code.NODE_EXISTS and results.at < len(missing):
            # Somebody else has just made it.
            return Code.NO_NODE, None
        return results.code, None

    async def _update(self, update: Update) -> NodeStat:
        path = update.path
        while True:
            version = await self._version(path, update.expected_version)
            body = set_body(self._names.znode(path), update.value, version)
            code, frame = await self._connection.ask(Op.SET_DATA, body)
            if code == Code.OK:
                return znode_at(frame).stat(path)
            if code == Code.NO_NODE:
                raise refusals.no_node(path)
            if code != Code.BAD_VERSION:
                raise ours(code, f"updating {path!r}")

    async def _delete(self, delete: Delete) -> None:
        path = delete.path
        while True:
            version = await self._version(path, delete.expected_version)
            body = delete_body(self._names.znode(path), version)
            code, _ = await self._connection.ask(Op.DELETE, body)
            if code == Code.OK:
                return
            if code == Code.NO_NODE:
                raise refusals.no_node(path)
            if code == Code.NOT_EMPTY and delete.recursive:
                if await delete_tree(self._connection, self._names, self._reading, path, version):
                    return
            elif code == Code.NOT_EMPTY:
                children = await self._reading.children(path)
                if children:
                    raise refusals.has_children(path, children)
            elif code != Code.BAD_VERSION:
                raise ours(code, f"deleting {path!r}")

    async def _withdraw(self, ticket: Ticket) -> None:
        """Delete an entry if it is the very one; who is cancelled meanwhile leaves none behind.

        One that was made here has a version that tells it apart. Else its name does not say which
        one it is, nor does its version: it takes two requests.
        """
        if self._entries.pop(ticket.path, None) == ticket.order:
            body = delete_body(self._names.znode(ticket.path), ENTRY_VERSION)
            code, _ = await self._connection.ask(Op.DELETE, body)
            if code == Code.OK:
                return
            if code == Code.NO_NODE:
                raise refusals.no_ticket(ticket)
        going = asyncio.create_task(self._withdrawn(ticket))
        self._going.add(going)
        going.add_done_callback(self._gone)
        await asyncio.shield(going)

    def _gone(self, going: asyncio.Task[None]) -> None:
        self._going.discard(going)
        if not going.cancelled():
            # Whoever was cancelled does not hear what it failed with.
            going.exception()

    async def close(self) -> None:
        """Wait for what goes on without whoever asked for it; the connection is over."""
        if self._going:
            await asyncio.wait(self._going)

    async def _withdrawn(self, ticket: Ticket) -> None:
        while True:
            znode = await self._reading.znode(ticket.path)
            if znode is None or znode.czxid != ticket.order:
                raise refusals.no_ticket(ticket)
            body = delete_body(self._names.znode(ticket.path), znode.version)
            code, _ = await self._connection.ask(Op.DELETE, body)
            if code == Code.OK:
                return
            if code == Code.NOT_EMPTY:
                children = await self._reading.children(ticket.path) or ()
                raise RefusedError(1, refusals.has_children(ticket.path, children))
            if code not in {Code.NO_NODE, Code.BAD_VERSION}:
                raise ours(code, f"withdrawing {ticket.path!r}")

    async def _version(self, path: str, expected: int | None) -> int:
        """Give the version that the server shall compare, of the node that has what is expected."""
        if expected is None:
            return ANY
        znode = await self._reading.znode(path)
        if znode is None:
            raise refusals.no_node(path)
        if znode.mzxid != expected:
            raise refusals.other_version(path, expected, znode.mzxid)
        return znode.version
