"""Making, reading, changing and deleting nodes."""

from datetime import UTC, timedelta

import pytest

from asyncbackends.errors import (
    BackendError,
    HasChildrenError,
    InvalidRequestError,
    NodeExistsError,
    NodeNotFoundError,
)
from asyncbackends.protocols.nodes import Node
from asyncbackends.testing.coordination.fixtures import Coordination, CoordinationFixtures
from asyncbackends.testing.harness import Harness

__all__ = ("NodesConformance",)


class NodesConformance(CoordinationFixtures):
    """``Nodes``: lasting ones, by one client and as another sees them."""

    async def test_created_node_is_there_for_everybody(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        stat = await coordination.create_node(f"{root}/a", b"1")
        for client in (coordination, other):
            assert await client.exists(f"{root}/a") == stat
            assert await client.read_node(f"{root}/a") == b"1"
            assert await client.read_node(f"{root}/a", include_timestamp=False) == b"1"
            assert await client.read_node(f"{root}/a", include_timestamp=True) == (b"1", stat)
            assert await client.get_node(f"{root}/a") == Node(b"1", stat)
            assert await client.get_children(root) == ["a"]
            assert await client.get_children(f"{root}/a") == []

    async def test_stat_of_a_new_node(
        self, coordination: Coordination, root: str, harness: Harness
    ) -> None:
        stat = await coordination.create_node(root, b"1")
        assert stat.path == root
        assert stat.created_revision == stat.modified_revision > 0
        assert stat.created == stat.modified
        assert stat.created.tzinfo is UTC
        assert abs(harness.now() - stat.created) < timedelta(minutes=1)
        assert stat.ephemeral_owner is None
        assert type(stat.ctime) is type(stat.mtime) is int
        assert abs(stat.ctime - harness.now().timestamp() * 1000) < 60_000

    async def test_existing_node_is_not_created(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        stat = await coordination.create_node(root, b"1")
        # Also with an equal value: swallowing that is the business of the compatible layer.
        for value in (b"1", b"2"):
            with pytest.raises(NodeExistsError) as refusal:
                await other.create_node(root, value)
            assert refusal.value.stat == stat
            assert not refusal.value.maybe_applied
        updated = await coordination.update_node(root, b"3")
        with pytest.raises(NodeExistsError) as refusal:
            await other.create_node(root, ephemeral=True)
        assert refusal.value.stat == updated
        assert await coordination.read_node(root) == b"3"

    async def test_missing_ancestors_are_made(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        await coordination.create_node(f"{root}/a/b/c", b"x")
        for path in (root, f"{root}/a", f"{root}/a/b"):
            node = await other.get_node(path)
            assert node.value == b""
            assert node.stat.path == path
            assert node.stat.ephemeral_owner is None
        # They are nodes as any other.
        with pytest.raises(NodeExistsError):
            await other.create_node(f"{root}/a")
        await other.update_node(f"{root}/a", b"1")
        await coordination.create_node(f"{root}/a/b2/c", b"x")
        assert await coordination.read_node(f"{root}/a") == b"1"
        assert await coordination.get_children(f"{root}/a") == ["b", "b2"]

    async def test_ancestors_are_only_made_where_asked_for(
        self, coordination: Coordination, root: str
    ) -> None:
        with pytest.raises(NodeNotFoundError):
            await coordination.create_node(f"{root}/a", b"x", make_parents=False)
        assert await coordination.exists(root) is None
        await coordination.create_node(root, make_parents=False)
        await coordination.create_node(f"{root}/a", b"x", make_parents=False)
        with pytest.raises(NodeNotFoundError):
            await coordination.create_node(f"{root}/b/c", make_parents=False)
        assert await coordination.get_children(root) == ["a"]

    async def test_nothing_is_not_there(self, coordination: Coordination, root: str) -> None:
        assert await coordination.exists(root) is None
        for missing in (
            coordination.read_node(root),
            coordination.read_node(root, include_timestamp=True),
            coordination.get_node(root),
            coordination.update_node(root, b"x"),
            coordination.delete_node(root),
            coordination.delete_node(root, recursive=True),
            coordination.get_children(root),
        ):
            with pytest.raises(NodeNotFoundError) as refusal:
                await missing
            assert isinstance(refusal.value, LookupError)
            assert not refusal.value.maybe_applied
        # Nothing was made by asking.
        assert await coordination.exists(root) is None

    async def test_update_replaces_the_value(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        created = await coordination.create_node(root, b"1")
        await coordination.create_node(f"{root}/a", b"child")
        updated = await other.update_node(root, b"2")
        assert updated.path == root
        assert updated.created == created.created
        assert updated.created_revision == created.created_revision
        assert updated.modified_revision > created.modified_revision
        assert updated.version != created.version
        assert updated.modified >= created.modified
        assert updated.mtime >= updated.ctime == created.ctime
        assert await coordination.get_node(root) == Node(b"2", updated)
        # What is below it, and what is beside it, is as it was.
        assert await coordination.get_children(root) == ["a"]
        assert await coordination.read_node(f"{root}/a") == b"child"

    async def test_children_do_not_move_their_parent(
        self, coordination: Coordination, root: str
    ) -> None:
        stat = await coordination.create_node(root, b"1")
        await coordination.create_node(f"{root}/a")
        await coordination.update_node(f"{root}/a", b"x")
        await coordination.delete_node(f"{root}/a")
        found = await coordination.exists(root)
        assert found is not None
        assert (found.version, found.modified_revision) == (stat.version, stat.modified_revision)

    async def test_revisions_only_rise(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        clients = [coordination, other] * 5
        revisions: list[int] = []
        for number, client in enumerate(clients):
            created = await client.create_node(f"{root}/{number}")
            updated = await client.update_node(f"{root}/{number // 2}", b"x")
            revisions += [created.modified_revision, updated.modified_revision]
        assert revisions == sorted({*revisions})

    async def test_deleted_node_is_gone(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        first = await coordination.create_node(f"{root}/a", b"1")
        assert await other.delete_node(f"{root}/a") is None  # type: ignore[func-returns-value]  # that it gives nothing is what is asked
        for client in (coordination, other):
            assert await client.exists(f"{root}/a") is None
            assert await client.get_children(root) == []
            with pytest.raises(NodeNotFoundError):
                await client.delete_node(f"{root}/a")
        again = await coordination.create_node(f"{root}/a", b"2")
        assert again.created_revision > first.created_revision
        assert await other.read_node(f"{root}/a") == b"2"

    async def test_node_with_children_is_only_deleted_with_them(
        self, coordination: Coordination, root: str
    ) -> None:
        for name in ("b", "a", "c/d"):
            await coordination.create_node(f"{root}/{name}", name)
        with pytest.raises(HasChildrenError) as refusal:
            await coordination.delete_node(root)
        assert refusal.value.children == ("a", "b", "c")
        with pytest.raises(HasChildrenError) as refusal:
            await coordination.delete_node(f"{root}/c", recursive=False)
        assert refusal.value.children == ("d",)
        assert await coordination.get_children(root) == ["a", "b", "c"]
        await coordination.delete_node(f"{root}/c", recursive=True)
        await coordination.delete_node(f"{root}/a", recursive=True)
        assert await coordination.get_children(root) == ["b"]
        await coordination.delete_node(f"{root}/b")
        await coordination.delete_node(root)
        assert await coordination.exists(root) is None

    async def test_deleted_tree_is_gone_as_a_whole(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        paths = [f"{root}/a{left}/b{right}/c" for left in range(5) for right in range(5)]
        for path in paths:
            await coordination.create_node(path)
        await coordination.create_node(f"{root}/a1-sibling/b")
        await other.delete_node(f"{root}/a1", recursive=True)
        assert await coordination.get_children(root) == ["a0", "a1-sibling", "a2", "a3", "a4"]
        assert await coordination.exists(f"{root}/a1/b1/c") is None
        assert await coordination.get_children(f"{root}/a1-sibling") == ["b"]
        # A node that comes back has none of what was below it.
        await coordination.create_node(f"{root}/a1")
        assert await other.get_children(f"{root}/a1") == []
        await coordination.delete_node(root, recursive=True)
        for path in (root, *paths):
            assert await other.exists(path) is None

    async def test_children_are_sorted_names(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        names = ["z", "a10", "a9", "a", "B", "ü", "_", "10", "9"]
        for name in names:
            await coordination.create_node(f"{root}/{name}/below")
        for client in (coordination, other):
            found = await client.get_children(root)
            assert type(found) is list
            assert found == sorted(names)
            found.clear()

    async def test_many_children(self, coordination: Coordination, root: str) -> None:
        names = [f"n{number:04}" for number in range(1000)]
        for first in range(0, 1000, 100):
            transaction = coordination.transaction()
            for name in names[first : first + 100]:
                transaction.create(f"{root}/{name}")
            await transaction.commit()
        assert await coordination.get_children(root) == names
        await coordination.delete_node(root, recursive=True)
        assert await coordination.exists(root) is None

    async def test_refused_call_changes_nothing(
        self, coordination: Coordination, root: str
    ) -> None:
        await coordination.create_node(f"{root}/a", b"1")
        before = await coordination.exists(f"{root}/a")
        for refused in (
            coordination.create_node(f"{root}/a", b"2"),
            coordination.create_node(f"{root}/b/c", make_parents=False),
            coordination.update_node(f"{root}/a", b"2", expected_version=-7),
            coordination.delete_node(f"{root}/a", expected_version=-7),
            coordination.delete_node(root),
            coordination.delete_node(root, recursive=True, expected_version=-7),
        ):
            with pytest.raises(BackendError) as refusal:
                await refused
            assert not refusal.value.maybe_applied
            assert not refusal.value.retryable
        assert await coordination.exists(f"{root}/a") == before
        assert await coordination.get_children(root) == ["a"]

    async def test_one_of_several_creators_wins(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        for number in range(10):
            outcomes = await harness.outcomes(
                *(
                    client.create_node(f"{root}/{number}/a", str(writer))
                    for writer, client in enumerate([coordination, other] * 4)
                )
            )
            made = [writer for writer, (result, _) in enumerate(outcomes) if result is not None]
            assert {type(error) for _, error in outcomes if error} == {NodeExistsError}
            assert len(made) == 1
            assert await other.read_node(f"{root}/{number}/a") == str(made[0]).encode()

    async def test_parents_are_shared_by_concurrent_creators(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        stats = await harness.gather(
            *(
                client.create_node(f"{root}/a/b/c/{number}")
                for number, client in enumerate([coordination, other] * 10)
            )
        )
        assert len({stat.path for stat in stats}) == 20
        assert len(await coordination.get_children(f"{root}/a/b/c")) == 20

    async def test_thousand_calls_at_once(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        await harness.gather(
            *(
                client.create_node(f"{root}/{number:03}", str(number))
                for number, client in enumerate([coordination, other] * 250)
            )
        )
        values = await harness.gather(
            *(
                client.read_node(f"{root}/{number:03}")
                for number, client in enumerate([other, coordination] * 250)
            )
        )
        assert values == [str(number).encode() for number in range(500)]

    @pytest.mark.parametrize("wrong", ["1", 1.0, True])
    async def test_malformed_version_is_refused(
        self, coordination: Coordination, root: str, wrong: int
    ) -> None:
        await coordination.create_node(root)
        for refused in (
            coordination.update_node(root, b"x", expected_version=wrong),
            coordination.delete_node(root, expected_version=wrong),
        ):
            with pytest.raises(InvalidRequestError):
                await refused
        assert await coordination.read_node(root) == b""
