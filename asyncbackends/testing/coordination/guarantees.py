"""One test, or more, per guarantee: it holds where it is declared; else its lack may show."""

import pytest

from asyncbackends.errors import (
    BackendError,
    HasChildrenError,
    NodeNotFoundError,
    TransactionFailedError,
)
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.testing.coordination.fixtures import (
    Coordination,
    CoordinationFixtures,
    OpenCoordination,
)
from asyncbackends.testing.harness import Harness

__all__ = ("CoordinationGuaranteesConformance",)


class CoordinationGuaranteesConformance(CoordinationFixtures):
    """``Guarantee``: those that one process can see."""

    async def test_linearizable_reads(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        """A register that is counted up: no read is older than what anybody was told before it."""
        path = f"{root}/register"
        await coordination.create_node(path, b"0")
        sent = acknowledged = highest_read = 0
        stale: list[tuple[int, int]] = []

        async def write() -> None:
            nonlocal sent, acknowledged
            while sent < 200:
                sent += 1
                await (coordination, other)[sent % 2].update_node(path, str(sent))
                acknowledged = sent

        async def read(client: Coordination, way: int) -> None:
            nonlocal highest_read
            while acknowledged < 200:
                at_least = max(acknowledged, highest_read)
                match way:
                    case 0:
                        found = int(await client.read_node(path))
                    case 1:
                        found = int((await client.get_node(path)).value)
                    case _:
                        found = int((await client.read_node(path, True))[0])
                if found < at_least:
                    stale.append((found, at_least))
                assert found <= sent
                highest_read = max(highest_read, found)
                # What one read may leave behind is old by then.
                for _ in range(found % 4):
                    await harness.sleep(0)

        readers = (read(client, way) for way in range(3) for client in (coordination, other))
        await harness.gather(write(), *readers)
        assert stale == [] or Guarantee.LINEARIZABLE_READS not in coordination.guarantees

    async def test_linearizable_reads_of_everything(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        """Whatever one client was told of, the other sees, by every way to read."""
        declared = Guarantee.LINEARIZABLE_READS in coordination.guarantees
        found: list[bool] = []
        clients = [coordination, other]
        for number in range(20):
            writer, reader = clients[number % 2], clients[(number + 1) % 2]
            path = f"{root}/{number}"
            # The reader has seen it as it was before.
            found.append(await reader.exists(path) is None)
            created = await writer.create_node(path, b"1")
            found.append(await reader.exists(path) == created)
            found.append(str(number) in await reader.get_children(root))
            found.append(await reader.read_node(path) == b"1")
            updated = await writer.update_node(path, b"2")
            found.append(await reader.read_node(path) == b"2")
            found.append((await reader.get_node(path)).stat == updated)
            ticket = await writer.contend(f"{root}/queue")
            found.append(await reader.contenders(f"{root}/queue") == [ticket])
            await writer.withdraw(ticket)
            found.append(await reader.contenders(f"{root}/queue") == [])
            await writer.delete_node(path)
            found.append(await reader.exists(path) is None)
        assert all(found) or not declared

    async def test_atomic_transactions(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        """Nobody ever sees a part: nodes that are only changed together stay equal."""
        paths = [f"{root}/{number}" for number in range(8)]
        for path in paths:
            await coordination.create_node(path, b"0")
        torn: list[tuple[int, int]] = []
        done: list[bool] = []

        async def write() -> None:
            try:
                for number in range(1, 51):
                    transaction = coordination.transaction()
                    for path in paths:
                        transaction.update(path, str(number))
                    await transaction.commit()
            finally:
                done.append(True)

        async def read(first: str, second: str) -> None:
            while not done:
                # What is read later is at least as new.
                before, after = await other.read_node(first), await other.read_node(second)
                torn.extend([(int(before), int(after))] if int(before) > int(after) else [])

        async def guess() -> None:
            """A transaction finds all of another's changes, or none of them."""
            while not done:
                stats = [await other.exists(path) for path in (paths[0], paths[-1])]
                transaction = other.transaction()
                for stat in stats:
                    assert stat is not None
                    transaction.check(stat.path, version=stat.version)
                ((_, error),) = await harness.outcomes(transaction.commit())
                assert error is None or isinstance(error, TransactionFailedError)

        await harness.gather(write(), read(paths[0], paths[-1]), read(paths[-1], paths[0]), guess())
        assert torn == [] or Guarantee.ATOMIC_TRANSACTIONS not in coordination.guarantees
        assert {await other.read_node(path) for path in paths} == {b"50"}

    async def test_atomic_recursive_delete(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        """While the top is there all of it is there; nothing is left or made below it after."""
        declared = Guarantee.ATOMIC_RECURSIVE_DELETE in coordination.guarantees
        names = [f"{a}/{b}" for a in "abc" for b in "abc"]
        wrong: list[str] = []
        for number in range(15):
            top = f"{root}/{number}"
            transaction = coordination.transaction()
            for name in names:
                transaction.create(f"{top}/{name}")
            await transaction.commit()
            done: list[bool] = []

            async def delete(top: str = top, done: list[bool] = done) -> None:
                await harness.sleep(0)
                await coordination.delete_node(top, recursive=True)
                done.append(True)

            async def read(name: str, top: str = top, done: list[bool] = done) -> None:
                while not done:
                    gone = await other.exists(f"{top}/{name}") is None
                    if gone and await other.exists(top) is not None:
                        wrong.append(f"{name} before {top}")

            async def create(top: str = top) -> None:
                await other.create_node(f"{top}/a/a/late", make_parents=False)

            outcomes = await harness.outcomes(
                delete(), read(names[0]), read(names[-1]), create(), create()
            )
            for _, error in outcomes:
                allowed = error is None or isinstance(error, BackendError)
                assert allowed, error
                if isinstance(error, HasChildrenError):
                    wrong.append(f"{top} had children")
            with pytest.raises(NodeNotFoundError):
                await coordination.get_node(f"{top}/a/a/late")
            if await coordination.exists(top) is not None:
                wrong.append(f"{top} is left")
        assert wrong == [] or not declared

    async def test_fencing_tokens(
        self, coordination: Coordination, open_coordination: OpenCoordination, root: str
    ) -> None:
        """Tokens grow from entry to entry, whoever makes it, whatever became of those before."""
        tokens: list[tuple[int, int]] = []
        for number in range(4):
            async with open_coordination() as leaving:
                for client in (coordination, leaving):
                    ticket = await client.contend(root)
                    tokens.append(ticket.fence.order)
                if number % 2:
                    await coordination.delete_node(root, recursive=True)
        assert tokens == sorted({*tokens}) or (
            Guarantee.FENCING_TOKENS not in coordination.guarantees
        )
        assert len({*tokens}) == 8
