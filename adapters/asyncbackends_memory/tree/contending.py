"""Places in the queue before a path: entries that never stay unknown."""

from asyncbackends.coordination.contending import (
    checked_ticket,
    new_entry,
    ticket_of,
    tickets_of,
)
from asyncbackends.coordination.paths import checked_path, checked_value, child
from asyncbackends.coordination.transaction import Create
from asyncbackends.errors import (
    BackendClosedError,
    BackendError,
    ConnectionLostError,
)
from asyncbackends.protocols.coordination import SessionState
from asyncbackends.protocols.nodes import NodeStat, NodeValue, Ticket
from asyncbackends_memory.tree.client import TreeClient
from asyncbackends_memory.tree.editing import Edit
from asyncbackends_memory.tree.store import TreeStore

__all__ = ("TreeContention",)


class TreeContention:
    """Implements :class:`asyncbackends.protocols.coordination.Contention`."""

    _client: TreeClient

    async def contend(self, path: str, value: NodeValue = b"") -> Ticket:
        with self._client.seam("contend"):
            content = checked_value(value)
            end = self._client.deadline()
            while True:
                entry = new_entry(path)
                stat = await self._made(entry, content, end)
                if stat is not None:
                    options = self._client.options
                    return ticket_of(stat, options.namespace, options.fence_epoch)

    async def _made(self, entry: str, value: bytes, end: float) -> NodeStat | None:
        """Make an entry; None when it went with its session before anybody knew of it."""
        try:
            return await self._client.write("contend", Create(entry, value, ephemeral=True), end)
        except BackendError as error:
            if not error.maybe_applied:
                raise
            # Nothing was awaited since: the present session is the one that the entry is tied to.
            session = self._client.session
        stat = await self._found(entry, session.id, end)
        known = stat is not None and session.state is not SessionState.LOST
        return stat if known else None

    async def _found(self, entry: str, session_id: str, end: float) -> NodeStat | None:
        """Look for an entry of which nobody knows whether it was made."""
        try:
            while True:
                try:
                    return await self._client.read("contend", lambda store: store.stat(entry), end)
                except ConnectionLostError as error:
                    # A read whose reply was lost is repeated, one that could not be sent is not.
                    if not self._client.faults.connected or self._client.is_over(end):
                        message = f"nobody could find out whether {entry!r} was made; {error}"
                        raise ConnectionLostError(message) from error
        except BaseException:
            self._disown(entry, session_id)
            raise

    def _disown(self, entry: str, session_id: str) -> None:
        """Take an entry back, or let it go with its session where that cannot be done."""
        try:
            store = self._client.opened()
        except BackendClosedError:
            return  # the session is closed with the backend
        if not self._client.faults.connected:
            self._client.abandon(session_id)
        elif entry in store.nodes:
            _remove(store, entry)

    async def contenders(self, path: str) -> list[Ticket]:
        with self._client.seam("contenders"):
            checked_path(path)

            def work(store: TreeStore) -> list[NodeStat]:
                names = store.children.get(path, ())
                return [store.nodes[child(path, name)].stat for name in names]

            stats = await self._client.read("contenders", work)
            options = self._client.options
            return tickets_of(stats, options.namespace, options.fence_epoch)

    async def withdraw(self, ticket: Ticket) -> None:
        with self._client.seam("withdraw"):
            checked_ticket(ticket)
            store = await self._client.reach("withdraw")
            stat = store.stat(ticket.path)
            if stat is not None and stat.created_revision == ticket.order:
                _remove(store, ticket.path)
            self._client.faults.after("withdraw", wrote=True)


def _remove(store: TreeStore, path: str) -> None:
    edit = Edit(store)
    edit.delete(path)
    edit.commit()
