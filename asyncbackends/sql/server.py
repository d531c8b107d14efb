"""The seam: what an adapter of a SQL server provides to the shared ConfigDatabase."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from asyncbackends.errors import BackendError
from asyncbackends.observability import ErrorTable
from asyncbackends.options import ServerDatabaseOptions
from asyncbackends.protocols.backend import ServerInfo
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.sql.dialect import Dialect
from asyncbackends.sql.effects import Applied, Effects

__all__ = ("Connection", "Contended", "Lock", "Refused", "Row", "SqlEngine")

Row = Sequence[Any]
Lock = Literal["", "update", "share"]


class Refused(Exception):  # noqa: N818  # no error: the unit is looked at again
    """A unit was not applied: a guard, a unique name or a foreign key said no."""


class Contended(Exception):  # noqa: N818  # the same
    """A unit was not applied because of another one (deadlock, lock wait); it is to be repeated."""


class Connection(Protocol):
    """One connection. Whoever holds it uses it alone, one call at a time.

    Its errors are the driver's, which the engine's table maps; those that leave it in doubt, a
    cancellation among them, make it not ``reusable``.
    """

    endpoint: str
    server: ServerInfo
    guarantees: frozenset[Guarantee]
    """What this server adds, as it is set up: SURVIVES_POWER_LOSS."""
    limits: Limits
    read_only: bool
    """Whether the server took no writes when it was asked, or said so since."""

    @property
    def reusable(self) -> bool:
        """Whether it is open, idle and outside a transaction, as far as this side knows."""
        ...

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> Sequence[Row]:
        """Run one rendered statement and give its rows: int, str and None."""
        ...

    async def apply(self, effects: Effects) -> Applied:
        """Apply a unit in one round trip, or inside the transaction that is open.

        :raises Refused: nothing was applied.
        :raises Contended: the same.
        """
        ...

    async def begin(self) -> None:
        """Begin a transaction, READ COMMITTED."""
        ...

    async def commit(self) -> None:
        """End it."""
        ...

    async def rollback(self) -> None:
        """Take it back."""
        ...

    async def script(self, statements: Sequence[str]) -> None:
        """Run statements that make tables, in one transaction where the server can."""
        ...

    async def close(self) -> None:
        """Say good-bye to the server; whoever calls it sets the deadline."""
        ...

    def abort(self) -> None:
        """Close at once, without I/O."""
        ...

    async def give_up(self) -> None:
        """After :meth:`abort` with a call in flight: stop it on the server, within a deadline."""
        ...


class SqlEngine(Protocol):
    """One engine, for one open backend."""

    name: str
    default_port: int
    dialect: Dialect
    errors: ErrorTable
    log_positions: str | None
    """A statement that gives, by names in this order, how far the server's log is written and how
    far it is on disk; None: nobody sees what is not on disk yet."""

    def tables(self, server: ServerInfo) -> Sequence[str]:
        """Give the neutral statements that make all tables of a namespace."""
        ...

    def lost(self, error: Exception) -> bool:
        """Say whether an error means that the link is lost, or was before anything was sent."""
        ...

    def refusal(self, error: Exception) -> BackendError | None:
        """Give the error if the server never takes this configuration (password, TLS, database)."""
        ...

    async def connect(self, endpoint: str, options: ServerDatabaseOptions) -> Connection:
        """Log in at an endpoint; whoever calls it sets the deadline and cancels it then."""
        ...
