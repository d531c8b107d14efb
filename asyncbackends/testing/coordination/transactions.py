"""Several operations as one: all of them, or none."""

from collections.abc import Callable
from typing import Any

import pytest

from asyncbackends.errors import (
    BackendError,
    HasChildrenError,
    InvalidRequestError,
    NodeExistsError,
    NodeNotFoundError,
    RevisionConflictError,
    TransactionFailedError,
)
from asyncbackends.protocols.coordination import Transaction
from asyncbackends.protocols.nodes import NodeStat
from asyncbackends.testing.coordination.feeds import events_of, kinds_of
from asyncbackends.testing.coordination.fixtures import Coordination, CoordinationFixtures
from asyncbackends.testing.harness import Harness

__all__ = ("TransactionsConformance",)

MOST_OPERATIONS = 100
MOST_BYTES = 1_000_000

Note = Callable[[Transaction, str], object]

REFUSED: dict[str, tuple[Note, type[BackendError]]] = {
    "check-of-nothing": (lambda t, r: t.check(f"{r}/no", version=1), NodeNotFoundError),
    "check-of-version": (lambda t, r: t.check(f"{r}/a", version=-7), RevisionConflictError),
    "check-of-presence": (lambda t, r: t.check(f"{r}/no", exists=True), NodeNotFoundError),
    "check-of-absence": (lambda t, r: t.check(f"{r}/a", exists=False), NodeExistsError),
    "create-again": (lambda t, r: t.create(f"{r}/a", b"2"), NodeExistsError),
    "create-of-root": (lambda t, _: t.create("/"), NodeExistsError),
    "create-without-parent": (
        lambda t, r: t.create(f"{r}/no/b", make_parents=False),
        NodeNotFoundError,
    ),
    "create-under-ephemeral": (lambda t, r: t.create(f"{r}/e/b"), InvalidRequestError),
    "update-of-nothing": (lambda t, r: t.update(f"{r}/no", b"2"), NodeNotFoundError),
    "update-of-version": (
        lambda t, r: t.update(f"{r}/a", b"2", expected_version=-7),
        RevisionConflictError,
    ),
    "delete-of-nothing": (lambda t, r: t.delete(f"{r}/no"), NodeNotFoundError),
    "delete-of-version": (
        lambda t, r: t.delete(f"{r}/a", expected_version=-7),
        RevisionConflictError,
    ),
    "delete-with-children": (lambda t, r: t.delete(f"{r}/c"), HasChildrenError),
}
"""What is refused where ``root`` has the children a, c/d and the ephemeral e."""


async def _refusal(transaction: Transaction) -> TransactionFailedError:
    with pytest.raises(TransactionFailedError) as refusal:
        await transaction.commit()
    assert not refusal.value.maybe_applied
    assert not refusal.value.retryable
    assert refusal.value.created == ()
    return refusal.value


async def _make_refusing(coordination: Coordination, root: str) -> None:
    """Make what the refusals need."""
    await coordination.create_node(f"{root}/a", b"1")
    await coordination.create_node(f"{root}/c/d", b"1")
    await coordination.create_node(f"{root}/e", b"1", ephemeral=True)


class TransactionsConformance(CoordinationFixtures):
    """``Transactions``."""

    async def test_every_operation(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        a = await coordination.create_node(f"{root}/a", b"1")
        b = await coordination.create_node(f"{root}/b", b"1")
        c = await coordination.create_node(f"{root}/c", b"1")
        ticket = await coordination.contend(f"{root}/queue")
        transaction = coordination.transaction()
        for same in (
            transaction.check(f"{root}/a", version=a.version),
            transaction.check(f"{root}/b", exists=True),
            transaction.check(f"{root}/new", exists=False),
            transaction.guard(ticket),
            transaction.create(f"{root}/new", "grün"),
            transaction.create(f"{root}/deep/er", ephemeral=True),
            transaction.update(f"{root}/a", b"2"),
            transaction.update(f"{root}/b", None, expected_version=b.version),
            transaction.delete(f"{root}/c", expected_version=c.version),
        ):
            assert same is transaction
        assert await other.get_children(root) == ["a", "b", "c", "queue"], "nothing is sent yet"
        results = await transaction.commit()
        assert [None if stat is None else stat.path for stat in results] == [
            *[None] * 4,
            f"{root}/new",
            f"{root}/deep/er",
            f"{root}/a",
            f"{root}/b",
            None,
        ]
        for stat in results:
            assert stat is None or await other.exists(stat.path) == stat
        assert await other.get_children(root) == ["a", "b", "deep", "new", "queue"]
        assert await other.read_node(f"{root}/new") == "grün".encode()
        assert await other.read_node(f"{root}/a") == b"2"
        assert await other.read_node(f"{root}/b") == b""
        ephemeral = await other.exists(f"{root}/deep/er")
        assert ephemeral is not None
        assert ephemeral.ephemeral_owner == coordination.session.id
        lasting = await other.exists(f"{root}/deep")
        assert lasting is not None
        assert lasting.ephemeral_owner is None

    @pytest.mark.parametrize("position", [0, 1, 4])
    @pytest.mark.parametrize("name", list(REFUSED))
    async def test_refusal_names_the_operation_and_applies_nothing(
        self, coordination: Coordination, other: Coordination, root: str, name: str, position: int
    ) -> None:
        await _make_refusing(coordination, root)
        before = [await other.exists(f"{root}/{name}") for name in ("a", "c", "c/d", "e")]
        note, error = REFUSED[name]
        transaction = coordination.transaction()
        for index in range(5):
            if index == position:
                note(transaction, root)
            else:
                transaction.create(f"{root}/new-{index}/below", b"x")
        transaction.update(f"{root}/a", b"9").delete(f"{root}/c/d")
        refusal = await _refusal(transaction)
        assert refusal.index == position
        assert type(refusal.error) is error
        after = [await other.exists(f"{root}/{name}") for name in ("a", "c", "c/d", "e")]
        assert after == before
        assert await other.get_children(root) == ["a", "c", "e"]

    async def test_refusals_say_what_is_there(self, coordination: Coordination, root: str) -> None:
        await _make_refusing(coordination, root)
        stat = await coordination.exists(f"{root}/a")
        assert stat is not None
        for note in (
            coordination.transaction().create(f"{root}/a"),
            coordination.transaction().check(f"{root}/a", exists=False),
        ):
            exists = (await _refusal(note)).error
            assert isinstance(exists, NodeExistsError)
            assert exists.stat == stat
        moved = (await _refusal(coordination.transaction().check(f"{root}/a", version=-7))).error
        assert isinstance(moved, RevisionConflictError)
        assert (moved.expected, moved.actual) == (-7, stat.version)
        parent = (await _refusal(coordination.transaction().delete(f"{root}/c"))).error
        assert isinstance(parent, HasChildrenError)
        assert parent.children == ("d",)

    async def test_first_refusal_is_the_one_that_is_told(
        self, coordination: Coordination, root: str
    ) -> None:
        await _make_refusing(coordination, root)
        transaction = coordination.transaction().create(f"{root}/n").check(f"{root}/n", exists=True)
        transaction.update(f"{root}/no", b"x").create(f"{root}/a")
        refusal = await _refusal(transaction)
        assert refusal.index == 2
        assert isinstance(refusal.error, NodeNotFoundError)

    async def test_each_operation_sees_those_before_it(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        transaction = (
            coordination.transaction()
            .create(f"{root}/a", b"1")
            .create(f"{root}/a/b", b"1", make_parents=False)
            .check(f"{root}/a/b", exists=True)
            .update(f"{root}/a", b"2")
            .delete(f"{root}/a/b")
            .check(f"{root}/a/b", exists=False)
            .create(f"{root}/a/b", b"3")
            .create(f"{root}/gone")
            .delete(f"{root}/gone")
        )
        results = await transaction.commit()
        assert [stat is not None for stat in results] == [
            *(True, True, False, True, False, False, True, True, False)
        ]
        assert await other.read_node(f"{root}/a") == b"2"
        assert await other.read_node(f"{root}/a/b") == b"3"
        assert await other.get_children(root) == ["a"]
        last = results[3]
        assert isinstance(last, NodeStat)
        assert await other.exists(f"{root}/a") == last

    async def test_delete_after_its_children(self, coordination: Coordination, root: str) -> None:
        await coordination.create_node(f"{root}/a/b")
        refusal = await _refusal(
            coordination.transaction().delete(f"{root}/a").delete(f"{root}/a/b")
        )
        assert refusal.index == 0
        await coordination.transaction().delete(f"{root}/a/b").delete(f"{root}/a").commit()
        assert await coordination.get_children(root) == []

    async def test_missing_ancestors_are_made_once(
        self, coordination: Coordination, root: str
    ) -> None:
        transaction = coordination.transaction()
        for name in ("a/b/c", "a/b/d", "a/e"):
            transaction.create(f"{root}/{name}")
        results = await transaction.commit()
        assert len(results) == 3
        assert await coordination.get_children(f"{root}/a") == ["b", "e"]
        assert await coordination.get_children(f"{root}/a/b") == ["c", "d"]

    async def test_guard_holds_as_long_as_the_entry(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        await coordination.create_node(f"{root}/a", b"1")
        first, second = await coordination.contend(root), await other.contend(root)
        # Who commits need not be the contender.
        await other.transaction().guard(first).update(f"{root}/a", b"2").commit()
        await coordination.transaction().guard(second).update(f"{root}/a", b"3").commit()
        await coordination.withdraw(first)
        refusal = await _refusal(coordination.transaction().update(f"{root}/a", b"4").guard(first))
        assert refusal.index == 1
        assert isinstance(refusal.error, NodeNotFoundError)
        await coordination.transaction().guard(second).commit()
        assert await coordination.read_node(f"{root}/a") == b"3"

    async def test_guard_knows_its_own_entry(self, coordination: Coordination, root: str) -> None:
        ticket = await coordination.contend(root)
        await coordination.update_node(ticket.path, b"another value")
        await coordination.transaction().guard(ticket).commit()
        await coordination.delete_node(ticket.path)
        # Somebody makes a node with its very path.
        await coordination.create_node(ticket.path, ephemeral=True)
        refusal = await _refusal(coordination.transaction().guard(ticket))
        assert isinstance(refusal.error, NodeNotFoundError)

    async def test_empty_transaction(self, coordination: Coordination) -> None:
        assert await coordination.transaction().commit() == []

    async def test_checks_alone_change_nothing(
        self, coordination: Coordination, root: str, harness: Harness
    ) -> None:
        stat = await coordination.create_node(root, b"1")
        async with coordination.watch(root, scope="tree") as feed:
            transaction = coordination.transaction().check(root, version=stat.version)
            assert await transaction.check(root, exists=True).commit() == [None, None]
            assert await harness.quiet(feed, 0.05)
        assert await coordination.exists(root) == stat

    async def test_second_commit_is_refused(self, coordination: Coordination, root: str) -> None:
        applied = coordination.transaction().create(f"{root}/a")
        await applied.commit()
        refused = coordination.transaction().create(f"{root}/a")
        await _refusal(refused)
        for transaction in (applied, refused):
            with pytest.raises(InvalidRequestError):
                await transaction.commit()
        assert await coordination.get_children(root) == ["a"]

    @pytest.mark.parametrize(
        "arguments", [{}, {"version": 1, "exists": True}, {"version": "1"}, {"exists": 1}]
    )
    async def test_check_takes_one_of_two(
        self, coordination: Coordination, root: str, arguments: dict[str, Any]
    ) -> None:
        await coordination.create_node(root)
        with pytest.raises(InvalidRequestError):
            coordination.transaction().check(root, **arguments)

    async def test_most_operations(self, coordination: Coordination, root: str) -> None:
        transaction, more = coordination.transaction(), coordination.transaction()
        for number in range(MOST_OPERATIONS):
            transaction.create(f"{root}/{number}", str(number))
            more.update(f"{root}/{number}", b"more")
        results = await transaction.commit()
        assert [stat and stat.path for stat in results] == [
            f"{root}/{number}" for number in range(MOST_OPERATIONS)
        ]
        more.create(f"{root}/more")
        with pytest.raises(InvalidRequestError):
            await more.commit()
        assert len(await coordination.get_children(root)) == MOST_OPERATIONS
        assert await coordination.read_node(f"{root}/0") == b"0"

    async def test_most_bytes(self, coordination: Coordination, root: str) -> None:
        quarter = b"x" * (MOST_BYTES // 4)
        transaction, more = coordination.transaction(), coordination.transaction()
        for number in range(4):
            transaction.create(f"{root}/{number}", quarter)
            more.create(f"{root}/more-{number}", quarter)
        await transaction.commit()
        more.update(f"{root}/0", b"x")
        with pytest.raises(InvalidRequestError):
            await more.commit()
        assert await coordination.get_children(root) == ["0", "1", "2", "3"]

    async def test_watch_sees_a_transaction(
        self, coordination: Coordination, root: str, harness: Harness
    ) -> None:
        await coordination.create_node(f"{root}/a", b"1")
        await coordination.create_node(f"{root}/b", b"1")
        async with coordination.watch(root, scope="tree") as feed:
            transaction = coordination.transaction().update(f"{root}/a", b"2")
            transaction.delete(f"{root}/b").create(f"{root}/c/d", b"1")
            await transaction.commit()
            events = await events_of(harness, feed, 4)
        seen = kinds_of(events, root)
        assert sorted(seen) == [
            ("created", "/c"),
            ("created", "/c/d"),
            ("deleted", "/b"),
            ("updated", "/a"),
        ]
        assert seen.index(("created", "/c")) < seen.index(("created", "/c/d"))

    async def test_refused_transaction_is_not_watched(
        self, coordination: Coordination, root: str, harness: Harness
    ) -> None:
        await _make_refusing(coordination, root)
        async with coordination.watch(root, scope="tree") as feed:
            transaction = coordination.transaction().create(f"{root}/new").delete(f"{root}/a")
            await _refusal(transaction.create(f"{root}/e"))
            await coordination.create_node(f"{root}/sign")
            assert kinds_of(await events_of(harness, feed, 1), root) == [("created", "/sign")]

    async def test_racing_transactions(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        for number in range(10):
            outcomes = await harness.outcomes(
                *(
                    client.transaction()
                    .check(f"{root}/{number}/taken", exists=False)
                    .create(f"{root}/{number}/by-{writer}")
                    .create(f"{root}/{number}/taken")
                    .commit()
                    for writer, client in enumerate([coordination, other] * 3)
                )
            )
            won = [writer for writer, (result, _) in enumerate(outcomes) if result is not None]
            assert len(won) == 1
            for _, error in outcomes:
                assert error is None or isinstance(error, TransactionFailedError)
            expected = [f"by-{won[0]}", "taken"]
            assert await other.get_children(f"{root}/{number}") == expected
