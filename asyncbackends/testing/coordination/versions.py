"""Versions: a write that is based on what was read."""

import pytest

from asyncbackends.errors import NodeNotFoundError, RevisionConflictError
from asyncbackends.testing.coordination.fixtures import Coordination, CoordinationFixtures
from asyncbackends.testing.harness import Harness

__all__ = ("VersionsConformance",)


class VersionsConformance(CoordinationFixtures):
    """``expected_version``."""

    async def test_update_at_its_version(self, coordination: Coordination, root: str) -> None:
        stat = await coordination.create_node(root, b"0")
        for number in range(1, 5):
            value = str(number)
            stat = await coordination.update_node(root, value, expected_version=stat.version)
            assert await coordination.read_node(root, True) == (value.encode(), stat)

    async def test_update_at_another_version_is_refused(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        created = await coordination.create_node(root, b"0")
        updated = await other.update_node(root, b"1")
        with pytest.raises(RevisionConflictError) as refusal:
            await coordination.update_node(root, b"2", expected_version=created.version)
        assert refusal.value.expected == created.version
        assert refusal.value.actual == updated.version
        assert not refusal.value.maybe_applied
        assert await coordination.read_node(root, include_timestamp=True) == (b"1", updated)

    async def test_delete_at_its_version(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        created = await coordination.create_node(root, b"0")
        updated = await other.update_node(root, b"1")
        with pytest.raises(RevisionConflictError) as refusal:
            await coordination.delete_node(root, expected_version=created.version)
        assert (refusal.value.expected, refusal.value.actual) == (created.version, updated.version)
        assert await coordination.exists(root) == updated
        await coordination.delete_node(root, expected_version=updated.version)
        assert await coordination.exists(root) is None

    async def test_recursive_delete_at_the_version_of_its_top(
        self, coordination: Coordination, root: str
    ) -> None:
        created = await coordination.create_node(root, b"0")
        await coordination.create_node(f"{root}/a/b", b"1")
        with pytest.raises(RevisionConflictError):
            await coordination.delete_node(
                root, recursive=True, expected_version=created.version + 1
            )
        assert await coordination.read_node(f"{root}/a/b") == b"1"
        # What is below may change; it has versions of its own.
        await coordination.update_node(f"{root}/a/b", b"2")
        await coordination.delete_node(root, recursive=True, expected_version=created.version)
        assert await coordination.exists(f"{root}/a/b") is None

    async def test_nothing_has_no_version(self, coordination: Coordination, root: str) -> None:
        stat = await coordination.create_node(root)
        await coordination.delete_node(root)
        for version in (stat.version, 0, 1, -1):
            with pytest.raises(NodeNotFoundError):
                await coordination.update_node(root, b"x", expected_version=version)
            with pytest.raises(NodeNotFoundError):
                await coordination.delete_node(root, expected_version=version)

    async def test_version_is_never_used_twice(self, coordination: Coordination, root: str) -> None:
        stats = [await coordination.create_node(root, b"a")]
        stats += [
            await coordination.update_node(root, value) for value in (b"b", b"a", b"a", b"", b"a")
        ]
        versions = [stat.version for stat in stats]
        assert len({*versions}) == len(versions)
        for version in versions[:-1]:
            with pytest.raises(RevisionConflictError):
                await coordination.update_node(root, b"x", expected_version=version)
        assert await coordination.exists(root) == stats[-1]

    async def test_version_counts_whatever_the_node_holds(
        self, coordination: Coordination, root: str
    ) -> None:
        stat = await coordination.create_node(root, ephemeral=True)
        updated = await coordination.update_node(root, b"1", expected_version=stat.version)
        assert updated.ephemeral_owner == stat.ephemeral_owner
        with pytest.raises(RevisionConflictError):
            await coordination.delete_node(root, expected_version=stat.version)
        await coordination.delete_node(root, expected_version=updated.version)

    async def test_one_of_several_conditional_writers_wins(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        stat = await coordination.create_node(root, b"start")
        for _ in range(10):
            outcomes = await harness.outcomes(
                *(
                    client.update_node(root, str(writer), expected_version=stat.version)
                    for writer, client in enumerate([coordination, other] * 4)
                )
            )
            assert {type(error) for _, error in outcomes if error} == {RevisionConflictError}
            ((writer, stat),) = [
                (writer, result)
                for writer, (result, _) in enumerate(outcomes)
                if result is not None
            ]
            assert await other.read_node(root) == str(writer).encode()

    async def test_counter_loses_nothing(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        await coordination.create_node(root, b"0")

        async def count(client: Coordination) -> None:
            done = 0
            while done < 10:
                node = await client.get_node(root)
                value = str(int(node.value) + 1)
                try:
                    await client.update_node(root, value, expected_version=node.stat.version)
                except RevisionConflictError:
                    continue
                done += 1

        async with harness.deadline(60):
            await harness.gather(*(count(client) for client in [coordination, other] * 4))
        assert await coordination.read_node(root) == b"80"

    async def test_racing_delete_and_update(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        for number in range(10):
            path = f"{root}/{number}"
            stat = await coordination.create_node(path, b"0")

            async def update(path: str = path, version: int = stat.version) -> None:
                await coordination.update_node(path, b"1", expected_version=version)

            async def delete(path: str = path, version: int = stat.version) -> None:
                await other.delete_node(path, expected_version=version)

            (_, not_updated), (_, not_deleted) = await harness.outcomes(update(), delete())
            assert (not_updated is None) is not (not_deleted is None)
            assert (await coordination.exists(path) is None) is (not_deleted is None)
            if not_updated is not None:
                assert isinstance(not_updated, NodeNotFoundError | RevisionConflictError)
            else:
                assert isinstance(not_deleted, RevisionConflictError)
