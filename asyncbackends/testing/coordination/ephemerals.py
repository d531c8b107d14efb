"""Nodes that go with their session."""

import pytest

from asyncbackends.errors import InvalidRequestError, NodeExistsError, NodeNotFoundError
from asyncbackends.testing.coordination.feeds import events_of, kinds_of
from asyncbackends.testing.coordination.fixtures import (
    Coordination,
    CoordinationFixtures,
    OpenCoordination,
)
from asyncbackends.testing.harness import Harness

__all__ = ("EphemeralsConformance",)


class EphemeralsConformance(CoordinationFixtures):
    """``ephemeral=True``, as long as everybody shuts down properly."""

    async def test_ephemeral_names_its_session(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        stat = await coordination.create_node(f"{root}/a", b"1", ephemeral=True)
        assert stat.ephemeral_owner == coordination.session.id
        assert await other.exists(f"{root}/a") == stat
        updated = await other.update_node(f"{root}/a", b"2")
        assert updated.ephemeral_owner == coordination.session.id
        theirs = await other.create_node(f"{root}/b", ephemeral=True)
        assert theirs.ephemeral_owner == other.session.id != coordination.session.id

    async def test_parents_of_an_ephemeral_last(
        self, open_coordination: OpenCoordination, coordination: Coordination, root: str
    ) -> None:
        async with open_coordination() as leaving:
            await leaving.create_node(f"{root}/a/b", ephemeral=True)
        assert await coordination.exists(f"{root}/a/b") is None
        stat = await coordination.exists(f"{root}/a")
        assert stat is not None
        assert stat.ephemeral_owner is None
        assert await coordination.get_children(f"{root}/a") == []

    async def test_ephemerals_are_gone_after_shutdown(
        self, open_coordination: OpenCoordination, coordination: Coordination, root: str
    ) -> None:
        await coordination.create_node(f"{root}/mine", ephemeral=True)
        async with open_coordination() as leaving:
            for number in range(20):
                await leaving.create_node(f"{root}/{number}", ephemeral=True)
            await leaving.create_node(f"{root}/lasting", b"x")
            # Also those that another has touched.
            await coordination.update_node(f"{root}/3", b"x")
            transaction = leaving.transaction().create(f"{root}/more", ephemeral=True)
            await transaction.commit()
            await leaving.contend(root)
        # At once: nobody has to wait for the end of the session.
        assert await coordination.get_children(root) == ["lasting", "mine"]

    async def test_deleted_ephemeral_is_not_deleted_again(
        self, open_coordination: OpenCoordination, coordination: Coordination, root: str
    ) -> None:
        async with open_coordination() as leaving:
            await leaving.create_node(f"{root}/a", ephemeral=True)
            await coordination.delete_node(f"{root}/a")
            await coordination.create_node(f"{root}/a", b"mine")
            await leaving.create_node(f"{root}/b/c", ephemeral=True)
            await coordination.delete_node(f"{root}/b", recursive=True)
            await coordination.create_node(f"{root}/b/c", ephemeral=True)
        assert await coordination.read_node(f"{root}/a") == b"mine"
        assert await coordination.get_children(f"{root}/b") == ["c"]

    async def test_ephemeral_has_no_children(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        await coordination.create_node(f"{root}/a", ephemeral=True)
        for client in (coordination, other):
            for refused in (
                client.create_node(f"{root}/a/b"),
                client.create_node(f"{root}/a/b", make_parents=False),
                client.create_node(f"{root}/a/b/c"),
                client.create_node(f"{root}/a/b", ephemeral=True),
                client.contend(f"{root}/a"),
            ):
                with pytest.raises(InvalidRequestError):
                    await refused
        assert await coordination.get_children(f"{root}/a") == []
        assert await coordination.get_children(root) == ["a"]

    async def test_ephemeral_of_one_is_in_the_way_of_another(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        stat = await coordination.create_node(root, b"1", ephemeral=True)
        for ephemeral in (True, False):
            with pytest.raises(NodeExistsError) as refusal:
                await other.create_node(root, b"2", ephemeral=ephemeral)
            assert refusal.value.stat == stat
        await other.delete_node(root)
        with pytest.raises(NodeNotFoundError):
            await coordination.read_node(root)

    async def test_watch_tells_who_left(
        self,
        open_coordination: OpenCoordination,
        coordination: Coordination,
        root: str,
        harness: Harness,
    ) -> None:
        await coordination.create_node(root)
        async with coordination.watch(root, scope="children") as feed:
            async with open_coordination() as leaving:
                await leaving.create_node(f"{root}/a", ephemeral=True)
                came = await events_of(harness, feed, 1)
            gone = await events_of(harness, feed, 1)
        assert kinds_of([*came, *gone], root) == [("created", "/a"), ("deleted", "/a")]
