"""One connection to PostgreSQL."""

from collections.abc import Awaitable, Sequence
from typing import Any, Final, TypeVar

from asyncbackends.errors import ConnectionLostError
from asyncbackends.protocols.backend import ServerInfo
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.sql.effects import Applied, Effects
from asyncbackends.sql.server import Contended, Refused, Row
from asyncbackends_postgres.applying import unit_call
from asyncbackends_postgres.driver import (
    Driver,
    DriverError,
    OutOfStepError,
    ServerError,
    backend_key,
    stop_call,
)
from asyncbackends_postgres.driver_errors import (
    is_contention,
    is_read_only,
    is_refusal,
    is_unsent,
    sqlstate,
)

__all__ = ("PostgresConnection",)

ResultT = TypeVar("ResultT")

ONE_AT_A_TIME: Final = 7_203_954_881_016_305_129
"""The advisory lock that those who make tables take."""

THERE_ALREADY: Final = frozenset({"42P07", "42723"})


class PostgresConnection:
    """A connection of asyncpg; a call that is cut off leaves it not to be used again."""

    def __init__(
        self,
        driver: Driver,
        endpoint: str,
        namespace: str,
        server: ServerInfo,
        guarantees: frozenset[Guarantee],
        *,
        read_only: bool,
    ) -> None:
        self.endpoint = endpoint
        self.server = server
        self.guarantees = guarantees
        self.limits = Limits()
        self.read_only = read_only
        self._driver = driver
        self._namespace = namespace
        self._key = backend_key(driver)
        self._unanswered = False
        """A call is in flight, or was cut off."""

    @property
    def reusable(self) -> bool:
        return not (
            self._unanswered
            or self.read_only
            or self._driver.is_closed()
            or self._driver.is_in_transaction()
        )

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> Sequence[Row]:
        try:
            return await self._answer(self._driver.fetch(statement, *parameters))
        except ServerError as error:
            if is_contention(error):
                raise Contended(sqlstate(error)) from error
            raise

    async def apply(self, effects: Effects) -> Applied:
        statement, parameters = unit_call(effects, self._namespace)
        try:
            rows = await self.fetch(statement, parameters)
        except ServerError as error:
            if is_refusal(error):
                raise Refused(error.args[0]) from error
            raise
        except ConnectionLostError as error:
            if is_unsent(error.__cause__):
                raise Contended("never sent") from error
            raise
        before, now = rows[0]
        return Applied(before, now)

    async def begin(self) -> None:
        await self._execute("BEGIN ISOLATION LEVEL READ COMMITTED")

    async def commit(self) -> None:
        if await self._execute("COMMIT") != "COMMIT":
            # So ends one in which a statement failed.
            message = "the transaction was rolled back"
            raise Contended(message)

    async def rollback(self) -> None:
        await self._execute("ROLLBACK")

    async def script(self, statements: Sequence[str]) -> None:
        # Several statements in one message are one transaction, also through a pooler.
        lock = f"SELECT pg_advisory_xact_lock({ONE_AT_A_TIME})"
        try:
            await self._execute(";\n".join((lock, *statements)))
        except ServerError as error:
            # Whoever had the lock before has made them, or they are of something else.
            if sqlstate(error) not in THERE_ALREADY:
                raise

    async def _execute(self, statement: str) -> str:
        try:
            return await self._answer(self._driver.execute(statement))
        except ServerError as error:
            if is_contention(error):
                raise Contended(sqlstate(error)) from error
            raise

    async def _answer(self, call: Awaitable[ResultT]) -> ResultT:
        self._unanswered = True
        try:
            answer = await call
        except ServerError as error:
            # An answer too, even where the server closes the connection with it.
            self._unanswered = False
            self.read_only = self.read_only or is_read_only(error)
            raise
        except (OSError, DriverError, OutOfStepError) as error:
            if isinstance(error, DriverError) and not self._driver.is_closed():
                raise
            message = f"{self.endpoint}: the connection was lost ({error})"
            raise ConnectionLostError(message) from error
        self._unanswered = False
        return answer

    async def close(self) -> None:
        await self._driver.close()

    def abort(self) -> None:
        self._driver.terminate()

    async def give_up(self) -> None:
        if self._unanswered:
            await stop_call(self._driver, self._key)
