"""Every method that writes, in one shape, for the tests that hold for all of them."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from asyncbackends.errors import NodeNotFoundError
from asyncbackends.protocols.nodes import NodeStat, Ticket
from asyncbackends.testing.coordination.fixtures import Coordination, new_root

__all__ = ("EVERY_WRITE", "Place", "Write", "prepared_place", "state_of")


class Place(msgspec.Struct, frozen=True):
    """What one write is about: nodes that nobody else touches."""

    root: str
    a: NodeStat
    ticket: Ticket


class Write(msgspec.Struct, frozen=True):
    """A method that writes, under the name that faults know it by."""

    name: str
    perform: Callable[[Coordination, Place], Awaitable[Any]]

    @property
    def operation(self) -> str:
        """The method of the Protocol."""
        return self.name.partition("-")[0]


async def prepared_place(coordination: Coordination) -> Place:
    """Make the nodes of a place."""
    root = new_root()
    a = await coordination.create_node(f"{root}/a", b"1")
    for path in ("b/c/d", "b/e"):
        await coordination.create_node(f"{root}/{path}", b"1")
    await coordination.create_node(f"{root}/mine", b"1", ephemeral=True)
    ticket = await coordination.contend(f"{root}/queue", b"first")
    return Place(root, a, ticket)


async def state_of(coordination: Coordination, place: Place) -> dict[str, Any]:
    """Read all that the writes of a place may touch, without what differs from place to place."""
    found: dict[str, Any] = {}
    await _read_into(found, coordination, place.root)
    state = {path.removeprefix(place.root): value for path, value in found.items()}
    queue = [ticket.path for ticket in await coordination.contenders(f"{place.root}/queue")]
    for number, path in enumerate(queue):
        state[f"contender {number}"] = state.pop(path.removeprefix(place.root))
    return state


async def _read_into(found: dict[str, Any], coordination: Coordination, path: str) -> None:
    # What is on its way may take away what was listed.
    try:
        node = await coordination.get_node(path)
        names = await coordination.get_children(path)
    except NodeNotFoundError:
        return
    found[path] = (node.value, node.stat.ephemeral_owner is not None)
    for name in names:
        await _read_into(found, coordination, f"{path}/{name}")


async def _transaction(coordination: Coordination, place: Place) -> Any:
    transaction = (
        coordination.transaction()
        .guard(place.ticket)
        .check(f"{place.root}/a", version=place.a.version)
        .update(f"{place.root}/a", b"2")
        .create(f"{place.root}/new/deep", b"2", ephemeral=True)
        .create(f"{place.root}/b/more", b"2")
        .delete(f"{place.root}/b/e")
    )
    return await transaction.commit()


EVERY_WRITE = (
    Write("create_node", lambda c, p: c.create_node(f"{p.root}/new", b"2")),
    Write("create_node-deep", lambda c, p: c.create_node(f"{p.root}/new/x/y", b"2")),
    Write("create_node-ephemeral", lambda c, p: c.create_node(f"{p.root}/n/x", ephemeral=True)),
    Write("update_node", lambda c, p: c.update_node(f"{p.root}/a", b"2")),
    Write(
        "update_node-version",
        lambda c, p: c.update_node(f"{p.root}/a", b"2", expected_version=p.a.version),
    ),
    Write("delete_node", lambda c, p: c.delete_node(f"{p.root}/a")),
    Write("delete_node-recursive", lambda c, p: c.delete_node(f"{p.root}/b", recursive=True)),
    Write("transaction", _transaction),
    Write("contend", lambda c, p: c.contend(f"{p.root}/queue", b"second")),
    Write("withdraw", lambda c, p: c.withdraw(p.ticket)),
)
