"""The lock cycle on the memory engine, beside the bare calls that it stands on."""

from asyncbackends import DistributedCoordinationService, open_coordination
from asyncbackends.recipes import Lock
from tests.bench.rounds import interleaved, print_table


async def _locks(operations: int) -> None:
    async with open_coordination(engine="memory", endpoints="bench") as coordination:
        for _ in range(operations):
            async with Lock(coordination, "/lock"):
                pass


async def _bare(operations: int) -> None:
    async with open_coordination(engine="memory", endpoints="bench") as coordination:
        for _ in range(operations):
            await _cycle(coordination)


async def _cycle(coordination: DistributedCoordinationService) -> None:
    ticket = await coordination.contend("/lock")
    await coordination.contenders("/lock")
    await coordination.withdraw(ticket)


def run() -> None:
    """Measure one client that locks and unlocks."""
    figures = interleaved({"contend, list, withdraw": _bare, "Lock": _locks}, operations=2000)
    print_table("coordination: lock cycle on memory", figures, "contend, list, withdraw")
