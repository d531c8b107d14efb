"""Paths: what is one, and that it means the same everywhere."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from asyncbackends.errors import InvalidRequestError, NodeExistsError
from asyncbackends.testing.coordination.feeds import events_of
from asyncbackends.testing.coordination.fixtures import Coordination, CoordinationFixtures
from asyncbackends.testing.harness import Harness

__all__ = ("PathsConformance",)

BAD_PATHS: Mapping[str, Any] = {
    "empty": "",
    "relative": "a",
    "slash-at-end": "/a/",
    "two-slashes": "//",
    "empty-first": "//a",
    "empty-inside": "/a//b",
    "dot": "/a/./b",
    "dots": "/..",
    "nul": "/a\0",
    "newline": "/a\nb",
    "delete": "/a\x7f",
    "c1-control": "/\x85a",
    "surrogate": "/\udc80",
    "long-segment": f"/{'a' * 256}",
    "long-unicode-segment": f"/{'ü' * 128}",
    "long": "/a" * 2048 + "/",
    "too-long": "/ab" * 1366,
    "bytes": b"/a",
    "none": None,
    "number": 1,
}

GOOD_SEGMENTS = (
    "a",
    "A",
    "0",
    "-",
    "_",
    "...",
    ".hidden",
    "a b",
    " ",
    "a.b",
    "a*",
    "*",
    ">",
    "%2F",
    "%",
    "a:b",
    "a\\b",
    '"quoted"',
    "'",
    "$x",
    "#",
    "?q=1",
    "[0-9]",
    "ü",
    "e\u0301",  # decomposed: another name than the next
    "\u00e9",
    "日本",
    "\U0001f512",
    "\ufffd",
    "zookeeper",
    "a" * 255,
    "ü" * 127,
)


async def _watch(coordination: Coordination, path: str) -> None:
    async with coordination.watch(path):
        pass


ASKS: Mapping[str, Callable[[Coordination, str], Awaitable[Any]]] = {
    "create_node": lambda c, path: c.create_node(path),
    "read_node": lambda c, path: c.read_node(path),
    "get_node": lambda c, path: c.get_node(path),
    "update_node": lambda c, path: c.update_node(path, b""),
    "delete_node": lambda c, path: c.delete_node(path),
    "get_children": lambda c, path: c.get_children(path),
    "exists": lambda c, path: c.exists(path),
    "watch": _watch,
    "contend": lambda c, path: c.contend(path),
    "contenders": lambda c, path: c.contenders(path),
    "check": lambda c, path: c.transaction().check(path, exists=False).commit(),
    "create": lambda c, path: c.transaction().create(path).commit(),
    "update": lambda c, path: c.transaction().update(path, b"").commit(),
    "delete": lambda c, path: c.transaction().delete(path).commit(),
}


class PathsConformance(CoordinationFixtures):
    """Paths of ``Nodes``."""

    @pytest.mark.parametrize("method", list(ASKS))
    async def test_bad_path_is_refused(self, coordination: Coordination, method: str) -> None:
        for name, path in BAD_PATHS.items():
            with pytest.raises(InvalidRequestError) as refusal:
                await ASKS[method](coordination, path)
            assert not refusal.value.maybe_applied, name
            assert len(str(refusal.value)) < 300, name

    async def test_every_other_segment_is_a_name(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        for number, segment in enumerate(GOOD_SEGMENTS):
            stat = await coordination.create_node(f"{root}/{segment}", str(number))
            assert stat.path == f"{root}/{segment}"
        for client in (coordination, other):
            assert await client.get_children(root) == sorted(GOOD_SEGMENTS)
            for number, segment in enumerate(GOOD_SEGMENTS):
                node = await client.get_node(f"{root}/{segment}")
                assert node.value == str(number).encode()
                assert node.stat.path == f"{root}/{segment}"

    @pytest.mark.parametrize("segment", ["a b", "*", "a.b", "ü", "%2F", "$x"])
    async def test_every_segment_works_everywhere(
        self, coordination: Coordination, root: str, harness: Harness, segment: str
    ) -> None:
        path, below = f"{root}/{segment}", f"{root}/{segment}/{segment}"
        async with coordination.watch(path, scope="tree") as feed:
            await coordination.create_node(below, b"1")
            assert await coordination.get_children(path) == [segment]
            stat = await coordination.update_node(below, b"2")
            await coordination.transaction().check(below, version=stat.version).commit()
            ticket = await coordination.contend(path)
            assert await coordination.contenders(path) == [ticket]
            await coordination.withdraw(ticket)
            await coordination.delete_node(path, recursive=True)
            seen = [event.path for event in await events_of(harness, feed, 2)]
        assert seen == [path, below]
        assert await coordination.exists(path) is None

    async def test_names_that_begin_alike_are_apart(
        self, coordination: Coordination, root: str
    ) -> None:
        alike = ["a", "a b", "a!", "a-b", "a.", "a.b", "a0", "aa", "aü", "a\U0010fffd"]
        for name in alike:
            await coordination.create_node(f"{root}/{name}/child", name)
        assert await coordination.get_children(f"{root}/a") == ["child"]
        await coordination.delete_node(f"{root}/a", recursive=True)
        assert await coordination.get_children(root) == sorted(alike[1:])
        for name in alike[1:]:
            assert await coordination.read_node(f"{root}/{name}/child") == name.encode()

    async def test_tree_is_200_deep(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        path = root + "/d" * 200
        stat = await coordination.create_node(path, b"deep")
        assert stat.path == path
        assert await other.read_node(path) == b"deep"
        for depth in (0, 1, 100, 199):
            assert await other.get_children(root + "/d" * depth) == ["d"]
        assert await other.get_children(path) == []
        await other.delete_node(root, recursive=True)
        assert await coordination.exists(root) is None
        assert await coordination.exists(path) is None

    async def test_longest_path(self, coordination: Coordination, root: str) -> None:
        path = root
        while len(path) < 4096 - 256:
            path += f"/{'a' * 255}"
        path += "/" + "b" * (4096 - len(path) - 1)
        assert len(path) == 4096
        await coordination.create_node(path, b"x")
        assert await coordination.read_node(path) == b"x"
        with pytest.raises(InvalidRequestError):
            await coordination.read_node(f"{path}b")
        # Its entry would be too long.
        with pytest.raises(InvalidRequestError):
            await coordination.contend(path)

    async def test_root_is_there(self, coordination: Coordination, root: str) -> None:
        stat = await coordination.exists("/")
        assert stat is not None
        assert stat.path == "/"
        assert stat.ephemeral_owner is None
        with pytest.raises(NodeExistsError):
            await coordination.create_node("/")
        for refused in (
            coordination.update_node("/", b"x"),
            coordination.delete_node("/"),
            coordination.delete_node("/", recursive=True),
        ):
            with pytest.raises(InvalidRequestError):
                await refused
        await coordination.create_node(root)
        assert root[1:] in await coordination.get_children("/")

    async def test_root_is_watched(
        self, coordination: Coordination, root: str, harness: Harness
    ) -> None:
        async with (
            coordination.watch("/", scope="children") as children,
            coordination.watch("/", scope="tree") as tree,
        ):
            await coordination.create_node(f"{root}/a")
            # Others may have a part of the tree.
            for feed, wanted in ((children, [root]), (tree, [root, f"{root}/a"])):
                seen: list[str] = []
                while len(seen) < len(wanted):
                    (event,) = await events_of(harness, feed, 1)
                    seen += [event.path] if event.path.startswith(root) else []
                assert seen == wanted
