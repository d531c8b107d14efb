"""Sessions of the memory engine, as a keeper asks for them: by way of the switchboard."""

from asyncbackends_memory.tree.store import TreeStore

__all__ = ("TreeSessions",)


class TreeSessions:
    """Implements :class:`asyncbackends.coordination.keeping.SessionService`.

    :param patience: the seconds that a request waits for the connection.
    """

    def __init__(self, store: TreeStore, patience: float) -> None:
        self._store = store
        self._patience = patience

    async def open(self, ttl: float) -> tuple[str, float]:
        """Open a session; it has the ttl that was asked for."""
        await self._store.faults.before("open_session", self._patience)
        session = self._store.open_session(ttl)
        self._store.faults.after("open_session", wrote=True)
        return session.id, session.ttl

    async def renew(self, session_id: str) -> bool:
        """Renew it."""
        await self._store.faults.before("renew_session", self._patience)
        await self._store.faults.arrival()
        known = self._store.renew_session(session_id)
        self._store.faults.after("renew_session", wrote=True)
        return known

    async def close(self, session_id: str) -> None:
        """End it."""
        await self._store.faults.before("close_session", self._patience)
        self._store.end_session(session_id)
        self._store.faults.after("close_session", wrote=True)
