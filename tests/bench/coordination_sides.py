"""What is measured of a coordination engine beside bare drivers and what others put over them."""

import asyncio
import cProfile
import io
import pstats
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import count
from typing import NamedTuple, TypeAlias
from unittest.mock import patch

from asyncbackends import DistributedCoordinationService, open_coordination
from asyncbackends.recipes import Lock
from tests.bench.coordination_rounds import KEYS, VALUE, Turn, by_callers, turns
from tests.bench.side_by_side import Figures, print_figures
from tests.servers.running import Servers
from tests.servers.server import Server

__all__ = ("CREATE", "LOCK", "READ", "Client", "Target", "run_beside")

READ, CREATE, LOCK = "read", "create", "lock and unlock"
OURS = "ours"
AT_ONCE = 64
TABLES = ((READ, AT_ONCE, 2000), (CREATE, AT_ONCE, 2000), (READ, 1, 400), (CREATE, 1, 400))
LOCKS = 200
PROFILED = 4000

Client: TypeAlias = Mapping[str, Turn]
"""What a client can do, by the operation's name."""

Peers: TypeAlias = Callable[[str], AbstractAsyncContextManager[Mapping[str, Client]]]
"""Opens the others on a server, which is told by its endpoint."""


class Target(NamedTuple):
    """What an engine is held to: its CPU at most, or its throughput at least, beside another's."""

    operation: str
    beside: str
    cpu: float | None = None
    throughput: float | None = None


def run_beside(engine: str, peers: Peers, targets: Sequence[Target]) -> None:
    """Measure an engine and others on a server of their own, and hold it to its targets."""
    # As an installation without the extra does.
    with (
        patch("asyncbackends.observability.telemetry", None),
        Servers() as servers,
        servers.fresh(engine) as server,
    ):
        asyncio.run(_measure_all(server, peers, targets))


async def _measure_all(server: Server, peers: Peers, targets: Sequence[Target]) -> None:
    async with open_coordination(**server.settings()) as ours, peers(server.endpoint) as others:
        await _prepare(ours)
        title = f"{server.engine} {server.version()}"
        await _measure(title, _our_client(ours), others, targets)


async def _prepare(coordination: DistributedCoordinationService) -> None:
    """Make the nodes that are read, and the parent of those that are made."""
    for path in ("/made", "/read"):
        await coordination.create_node(path)
    make = by_callers(lambda number: coordination.create_node(_key(number), VALUE))
    await make(range(KEYS), AT_ONCE)


def _our_client(coordination: DistributedCoordinationService) -> Client:
    """Give the engine's."""
    lock = Lock(coordination, "/lock")

    async def lock_and_unlock(number: int) -> None:
        async with lock:
            pass

    return {
        READ: by_callers(lambda number: coordination.read_node(_key(number))),
        CREATE: by_callers(lambda number: coordination.create_node(f"/made/{number}", VALUE)),
        LOCK: by_callers(lock_and_unlock),
    }


def _key(number: int) -> str:
    return f"/read/{number % KEYS}"


async def _measure(
    title: str, ours: Client, peers: Mapping[str, Client], targets: Sequence[Target]
) -> None:
    """Measure all; the first peer that can do an operation is the baseline of its table."""
    measured: dict[str, Mapping[str, Figures]] = {}
    for operation, at_once, operations in (*TABLES, (LOCK, 1, LOCKS)):
        able = {name: peer[operation] for name, peer in peers.items() if operation in peer}
        first = next(iter(able))
        clients = {first: able[first], OURS: ours[operation], **able}
        figures = await turns(clients, operations, at_once)
        print_figures(f"{title}: {operation}, {at_once} at once", figures)
        # A target is for many at once where that is measured.
        measured.setdefault(operation, figures)
    print()
    for target in targets:
        _print_target(target, measured[target.operation])
    for operation in (READ, CREATE):
        await _print_profile(f"{title}, {operation}", ours[operation])


def _print_target(target: Target, figures: Mapping[str, Figures]) -> None:
    own, other = figures[OURS], figures[target.beside]
    if target.cpu is not None:
        measured = own.cpu / other.cpu
        verdict = "met" if measured <= target.cpu else "missed"
        what = f"CPU of {target.operation} <= {target.cpu} of {target.beside}"
        print(f"  target: {what}: {measured:.2f}, {verdict}")
    if target.throughput is not None:
        measured = own.throughput / other.throughput
        verdict = "met" if measured >= target.throughput else "missed"
        what = f"throughput of {target.operation} >= {target.throughput} of {target.beside}"
        print(f"  target: {what}: {measured:.2f}, {verdict}")


_profiled = count(10_000_000)


async def _print_profile(title: str, turn: Turn) -> None:
    """Print where a client's time goes."""
    profile = cProfile.Profile()
    numbers = [next(_profiled) for _ in range(PROFILED)]
    profile.enable()
    await turn(numbers, AT_ONCE)
    profile.disable()
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(20)
    print(f"\n{title}: where the time goes")
    print("\n".join(line for line in text.getvalue().splitlines() if line.strip())[:3500])
