"""What a node may hold."""

from typing import Any

import pytest

from asyncbackends.errors import InvalidRequestError
from asyncbackends.testing.coordination.feeds import events_of
from asyncbackends.testing.coordination.fixtures import Coordination, CoordinationFixtures
from asyncbackends.testing.harness import Harness

__all__ = ("NodeValuesConformance",)

MOST_BYTES = 1_000_000

VALUES: dict[str, tuple[Any, bytes]] = {
    "none": (None, b""),
    "empty": (b"", b""),
    "empty-text": ("", b""),
    "bytes": (b"\0\xff\n", b"\0\xff\n"),
    "every-byte": (bytes(range(256)), bytes(range(256))),
    "text": ("grün \U0001f512", "grün \U0001f512".encode()),
    "most-bytes": (b"\x01" * MOST_BYTES, b"\x01" * MOST_BYTES),
    "most-text": ("ü" * (MOST_BYTES // 2), "ü".encode() * (MOST_BYTES // 2)),
}

REFUSED: dict[str, Any] = {
    "too-long": b"x" * (MOST_BYTES + 1),
    "too-long-text": "ü" * (MOST_BYTES // 2) + "x",
    "surrogate": "\udc80",
    "number": 1,
    "bytearray": bytearray(b"x"),
    "list": [b"x"],
}


class NodeValuesConformance(CoordinationFixtures):
    """Values of ``Nodes``."""

    @pytest.mark.parametrize("name", list(VALUES))
    async def test_value_reads_back_equal(
        self, coordination: Coordination, other: Coordination, root: str, name: str
    ) -> None:
        value, stored = VALUES[name]
        await coordination.create_node(f"{root}/created", value)
        await coordination.create_node(f"{root}/updated", b"before")
        await coordination.update_node(f"{root}/updated", value)
        transaction = coordination.transaction().create(f"{root}/in-transaction", value)
        await transaction.commit()
        for client in (coordination, other):
            for path in await client.get_children(root):
                read = await client.read_node(f"{root}/{path}")
                assert type(read) is bytes
                assert read == stored
                assert (await client.get_node(f"{root}/{path}")).value == stored

    @pytest.mark.parametrize("name", list(VALUES))
    async def test_contender_holds_its_value(
        self, coordination: Coordination, other: Coordination, root: str, name: str
    ) -> None:
        value, stored = VALUES[name]
        ticket = await coordination.contend(root, value)
        assert await other.read_node(ticket.path) == stored

    @pytest.mark.parametrize("name", list(REFUSED))
    async def test_bad_value_is_refused(
        self, coordination: Coordination, root: str, name: str
    ) -> None:
        value = REFUSED[name]
        await coordination.create_node(root, b"before")
        for refused in (
            lambda: coordination.create_node(f"{root}/new", value),
            lambda: coordination.update_node(root, value),
            lambda: coordination.contend(root, value),
            lambda: coordination.transaction().create(f"{root}/new", value).commit(),
            lambda: coordination.transaction().update(root, value).commit(),
        ):
            with pytest.raises(InvalidRequestError) as refusal:
                await refused()
            assert not refusal.value.maybe_applied
            assert len(str(refusal.value)) < 300
        assert await coordination.read_node(root) == b"before"
        assert await coordination.get_children(root) == []

    async def test_large_values_are_watched(
        self, coordination: Coordination, root: str, harness: Harness
    ) -> None:
        async with coordination.watch(root) as feed:
            await coordination.create_node(root, b"\x01" * MOST_BYTES)
            await events_of(harness, feed, 1)
            await coordination.update_node(root, b"\x02" * MOST_BYTES)
            (event,) = await events_of(harness, feed, 1)
            assert event.kind == "updated"
            assert event.value in {None, b"\x02" * MOST_BYTES}

    async def test_update_to_an_equal_value_is_an_update(
        self, coordination: Coordination, root: str, harness: Harness
    ) -> None:
        created = await coordination.create_node(root, b"same")
        async with coordination.watch(root) as feed:
            updated = await coordination.update_node(root, b"same")
            assert updated.version != created.version
            assert [event.kind for event in await events_of(harness, feed, 1)] == ["updated"]

    async def test_limits_are_told(self, coordination: Coordination) -> None:
        assert (coordination.limits.value_bytes or 0) >= MOST_BYTES
        assert (coordination.limits.path_bytes or 0) >= 4096
        assert (coordination.limits.transaction_operations or 0) >= 100
