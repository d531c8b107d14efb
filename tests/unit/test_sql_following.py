"""Changes are given when they are on the server's disk, where it shows them before."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.sql.following import Following
from asyncbackends.sql.server import Row

PULL, POSITIONS = "the changes", "the positions"
ROWS: Sequence[Row] = [(-1, 8, 0, "", ""), (0, 8, 0, "network", "u")]


class Server:
    """A connection whose log comes to the disk step by step, and the session that has it."""

    def __init__(self, *positions: tuple[int, int], durable: bool = True) -> None:
        self.positions = list(positions)
        self.calls: list[str] = []
        self.rows = ROWS
        self.engine = SimpleNamespace(log_positions=POSITIONS)
        self.sql = SimpleNamespace(pull=PULL)
        self.guarantees = frozenset({Guarantee.SURVIVES_POWER_LOSS} if durable else ())
        self.options = SimpleNamespace(poll_interval=0.001)
        self.seam = None

    async def work(self, step: Any, *arguments: Any) -> Any:
        return await step(self, *arguments)

    def worth_another(self, error: Exception) -> bool:
        return isinstance(error, OSError)

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> Sequence[Row]:
        self.calls.append(statement)
        await asyncio.sleep(0)
        if statement == PULL:
            return self.rows
        written, on_disk = self.positions.pop(0)
        if on_disk < 0:
            raise OSError("the server died")
        # In no order, as a server may give them, and as text.
        return [("Innodb_lsn_flushed", str(on_disk)), ("Innodb_lsn_current", str(written))]


def following(server: Server) -> Following:
    session: Any = server
    return Following(session)


async def test_what_is_read_is_on_disk_before_it_is_told() -> None:
    server = Server((10, 5), (12, 9), (14, 10))
    pulled = await following(server).pull(7)
    assert [change[0] for change in pulled.changes] == [8]
    assert server.calls == [PULL, POSITIONS, POSITIONS, POSITIONS]


async def test_a_server_that_dies_meanwhile_is_read_again() -> None:
    server = Server((10, 5), (10, -1), (4, 4))
    assert len((await following(server).pull(7)).changes) == 1
    assert server.calls == [PULL, POSITIONS, POSITIONS, PULL, POSITIONS]


async def test_what_else_is_in_the_log_is_not_waited_for() -> None:
    server = Server(*[(10, 9)] * 1000)
    async with asyncio.timeout(5):
        assert len((await following(server).pull(7)).changes) == 1
    assert server.positions


async def test_nothing_is_asked_where_it_does_not_matter() -> None:
    quiet, hasty = Server(), Server(durable=False)
    quiet.rows = ROWS[:1]
    assert (await following(quiet).pull(8)).changes == []
    assert len((await following(hasty).pull(7)).changes) == 1
    assert quiet.calls == hasty.calls == [PULL]
