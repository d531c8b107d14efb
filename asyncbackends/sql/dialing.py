"""Finds an endpoint that can be used, and says why one cannot."""

import asyncio
from collections.abc import Sequence

from asyncbackends.errors import BackendError, ConnectionFailedError, ConnectionLostError
from asyncbackends.linking import FINAL
from asyncbackends.options import ServerDatabaseOptions
from asyncbackends.sql.server import Connection, SqlEngine

__all__ = ("Dialer",)


class Dialer:
    """Opens connections, endpoints in turn."""

    def __init__(
        self, engine: SqlEngine, endpoints: Sequence[str], options: ServerDatabaseOptions
    ) -> None:
        self._engine = engine
        self._endpoints = list(endpoints)
        self._options = options
        self._next = 0
        self.refusal: BackendError | None = None
        """Why no endpoint is tried again: a secret is not tried out on a server."""

    async def first(self) -> Connection:
        """Try every endpoint once, within ``connect_timeout``.

        :raises BackendError: the one endpoint's, or a refusal's at once; else a
            ConnectionFailedError that names all.
        """
        return await self._search(len(self._endpoints))

    async def another(self) -> Connection:
        """Try the endpoint that is in turn, with its share of ``connect_timeout``.

        :raises BackendError: it cannot be used; the next one is in turn.
        """
        return await self._search(1)

    async def _search(self, failures_wanted: int) -> Connection:
        spare: Connection | None = None
        failures: list[BackendError] = []
        loop = asyncio.get_running_loop()
        end = loop.time() + self._options.connect_timeout
        try:
            for left in range(len(self._endpoints), 0, -1):
                # Who hears nothing must not use up the time of those after it.
                share = (end - loop.time()) / left
                endpoint = self._endpoints[self._next]
                try:
                    connection = await self._dial(endpoint, share)
                except BackendError as error:
                    if self.refusal is not None:
                        raise
                    failures.append(error)
                else:
                    if not connection.read_only:
                        return connection
                    # Taken if there is no better one.
                    if spare is not None:
                        spare.abort()
                    spare = connection
                self._turn(endpoint)
                if spare is None and len(failures) == failures_wanted:
                    break
            taken, spare = spare, None
        finally:
            if spare is not None:
                spare.abort()
        if taken is not None:
            return taken
        if len(failures) == 1:
            raise failures[0]
        words = "; ".join(map(str, failures))
        message = f"no endpoint of the config database can be used: {words}"
        raise ConnectionFailedError(message) from failures[-1]

    async def _dial(self, endpoint: str, seconds: float) -> Connection:
        try:
            async with asyncio.timeout(seconds):
                return await self._engine.connect(endpoint, self._options)
        except Exception as error:
            refusal = error if isinstance(error, FINAL) else self._engine.refusal(error)
            if refusal is not None:
                self.refusal = refusal
                if refusal is error:
                    raise
                raise refusal from error
            failure = self.failure(endpoint, error)
            if isinstance(failure, ConnectionLostError):
                # There was no connection yet.
                failure = ConnectionFailedError(str(failure))
            if failure is None or failure is error:
                raise
            raise failure from error

    def _turn(self, endpoint: str) -> None:
        # Of several that dial at once only one moves on.
        if self._endpoints[self._next] == endpoint:
            self._next = (self._next + 1) % len(self._endpoints)

    def failure(self, endpoint: str, error: Exception) -> BackendError | None:
        """Give our error, naming the endpoint; None for what is not the driver's."""
        if isinstance(error, BackendError):
            return error
        if isinstance(error, TimeoutError):
            return ConnectionFailedError(f"{endpoint} did not answer in time")
        found = self._engine.errors(error)
        if found is None:
            if not isinstance(error, OSError):
                return None
            found = ConnectionFailedError(error.strerror or str(error))
        found.args = (f"{endpoint}: {found}",)
        return found
