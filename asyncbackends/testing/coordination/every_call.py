"""Every coroutine method of the Protocol, called once, for the tests that hold for all of them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from asyncbackends.protocols.nodes import Ticket
from asyncbackends.protocols.values import Fence
from asyncbackends.testing.coordination.fixtures import Coordination, new_root

__all__ = ("EVERY_CALL", "Call")

Call = Callable[[Coordination], Awaitable[Any]]

ROOT = new_root()
TICKET = Ticket(f"{ROOT}/{'0' * 32}", 1, "nobody", Fence(ROOT, 0, 1))


async def _watch(coordination: Coordination) -> None:
    async with coordination.watch(ROOT):
        pass


async def _work() -> None:
    pass


EVERY_CALL: Mapping[str, Call] = {
    "create_node": lambda c: c.create_node(f"{ROOT}/a", ephemeral=True),
    "read_node": lambda c: c.read_node(ROOT),
    "get_node": lambda c: c.get_node(ROOT),
    "update_node": lambda c: c.update_node(ROOT, b""),
    "delete_node": lambda c: c.delete_node(ROOT),
    "get_children": lambda c: c.get_children(f"{ROOT}/no"),
    "exists": lambda c: c.exists(ROOT),
    "transaction": lambda c: c.transaction().check(f"{ROOT}/no", exists=True).commit(),
    "watch": _watch,
    "contend": lambda c: c.contend(ROOT),
    "contenders": lambda c: c.contenders(ROOT),
    "withdraw": lambda c: c.withdraw(TICKET),
    "master_election": lambda c: c.master_election(ROOT, "me", _work),
    "server_info": lambda c: c.server_info(),
}
