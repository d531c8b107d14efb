"""Places in the queue before a path."""

import pytest

from asyncbackends.errors import NodeNotFoundError, TransactionFailedError
from asyncbackends.protocols.coordination import SupportsArriving
from asyncbackends.protocols.nodes import Ticket
from asyncbackends.testing.coordination.fixtures import (
    Coordination,
    CoordinationFixtures,
    OpenCoordination,
)
from asyncbackends.testing.harness import Harness

__all__ = ("ContendingConformance",)


class ContendingConformance(CoordinationFixtures):
    """``Contention``."""

    async def test_ticket_says_what_it_is(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        ticket = await coordination.contend(root, "host-1")
        assert ticket.path.rpartition("/")[0] == root
        assert ticket.session_id == coordination.session.id
        assert ticket.fence.token == ticket.order
        assert ticket.fence.epoch == 0
        assert ticket.fence.name.endswith(root)
        node = await other.get_node(ticket.path)
        assert node.value == b"host-1"
        assert node.stat.ephemeral_owner == coordination.session.id
        parent = await other.exists(root)
        assert parent is not None
        assert parent.ephemeral_owner is None
        for client in (coordination, other):
            assert await client.contenders(root) == [ticket]

    async def test_contenders_are_in_the_order_of_their_coming(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        tickets = [
            await client.contend(root, str(number))
            for number, client in enumerate([coordination, other] * 5)
        ]
        assert [ticket.order for ticket in tickets] == sorted({one.order for one in tickets})
        assert len({ticket.path for ticket in tickets}) == 10
        for client in (coordination, other):
            assert await client.contenders(root) == tickets

    async def test_who_arrives_first_is_told_or_asks(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        """``SupportsArriving``."""
        if not isinstance(coordination, SupportsArriving):
            return
        assert isinstance(other, SupportsArriving)
        await coordination.create_node(root)
        first, surely = await coordination.arrive(root, "host-1")
        second, second_surely = await other.arrive(root, "host-2")
        assert not second_surely
        assert await other.contenders(root) == [first, second]
        await coordination.withdraw(first)
        third, third_surely = await coordination.arrive(root)
        assert not third_surely
        assert await coordination.contenders(root) == [second, third]
        for ticket in (second, third):
            await other.withdraw(ticket)
        last, last_surely = await other.arrive(root)
        assert last_surely is surely, "what can be known once can be known again"
        assert await coordination.contenders(root) == [last]

    async def test_nobody_contends(self, coordination: Coordination, root: str) -> None:
        assert await coordination.contenders(root) == []
        assert await coordination.exists(root) is None, "nothing was made by asking"
        await coordination.create_node(f"{root}/child", ephemeral=True)
        await coordination.create_node(f"{root}/other/deep")
        assert await coordination.contenders(root) == []
        ticket = await coordination.contend(root)
        assert await coordination.contenders(root) == [ticket]

    async def test_withdrawn_place_is_gone(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        first, second = await coordination.contend(root), await coordination.contend(root)
        await coordination.withdraw(first)
        assert await other.contenders(root) == [second]
        with pytest.raises(NodeNotFoundError):
            await other.read_node(first.path)
        # Anybody may withdraw anybody, and again.
        await other.withdraw(second)
        for ticket in (first, second):
            await coordination.withdraw(ticket)
            await other.withdraw(ticket)
        assert await coordination.contenders(root) == []
        await coordination.delete_node(root, recursive=True)
        await coordination.withdraw(first)

    async def test_withdraw_takes_only_its_own_entry(
        self, coordination: Coordination, root: str
    ) -> None:
        ticket = await coordination.contend(root)
        await coordination.delete_node(ticket.path)
        await coordination.create_node(ticket.path, b"another")
        await coordination.withdraw(ticket)
        assert await coordination.read_node(ticket.path) == b"another"

    async def test_order_grows_with_every_entry_ever_made(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        orders: list[int] = []
        for number, client in enumerate([coordination, other] * 6):
            ticket = await client.contend(root)
            orders.append(ticket.order)
            if number % 2:
                await client.withdraw(ticket)
            if number % 4 == 3:
                await coordination.delete_node(root, recursive=True)
        assert orders == sorted({*orders})

    async def test_paths_have_queues_and_fences_of_their_own(
        self, coordination: Coordination, root: str
    ) -> None:
        a, b = await coordination.contend(f"{root}/a"), await coordination.contend(f"{root}/b")
        deep = await coordination.contend(f"{root}/a/b")
        assert len({ticket.fence.name for ticket in (a, b, deep)}) == 3
        assert await coordination.contenders(f"{root}/a") == [a]
        assert await coordination.contenders(f"{root}/b") == [b]
        assert await coordination.contenders(f"{root}/a/b") == [deep]
        again = await coordination.contend(f"{root}/a")
        assert again.fence.name == a.fence.name
        assert again.fence.order > a.fence.order

    async def test_epoch_is_the_option(
        self, coordination: Coordination, open_coordination: OpenCoordination, root: str
    ) -> None:
        before = await coordination.contend(root)
        async with open_coordination(fence_epoch=7) as raised:
            ticket = await raised.contend(root)
            assert ticket.fence.epoch == 7
            assert ticket.fence.order > before.fence.order
            assert ticket.fence.name == before.fence.name

    async def test_twenty_at_once(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        tickets = await harness.gather(
            *(client.contend(root) for client in [coordination, other] * 10)
        )
        in_order = sorted(tickets, key=lambda ticket: ticket.order)
        assert len({ticket.order for ticket in tickets}) == 20
        assert await coordination.contenders(root) == in_order
        await harness.gather(*(other.withdraw(ticket) for ticket in tickets))
        assert await other.contenders(root) == []

    async def test_hundred_come_and_go(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        tickets: list[Ticket] = []

        async def come_and_go(client: Coordination) -> None:
            for _ in range(10):
                highest = max((one.order for one in tickets), default=0)
                ticket = await client.contend(root)
                tickets.append(ticket)
                # Whoever had a ticket when this one was asked for is before it.
                assert ticket.order > highest
                assert ticket in await client.contenders(root)
                await client.withdraw(ticket)

        await harness.gather(*(come_and_go(client) for client in [coordination, other] * 5))
        assert len({ticket.order for ticket in tickets}) == 100
        assert await coordination.contenders(root) == []

    async def test_places_go_with_their_client(
        self, open_coordination: OpenCoordination, coordination: Coordination, root: str
    ) -> None:
        async with open_coordination() as leaving:
            first = await leaving.contend(root)
            second = await coordination.contend(root)
            assert await coordination.contenders(root) == [first, second]
        assert await coordination.contenders(root) == [second]
        with pytest.raises(TransactionFailedError):
            await coordination.transaction().guard(first).commit()
        await coordination.withdraw(first)
        third = await coordination.contend(root)
        assert third.order > second.order > first.order
