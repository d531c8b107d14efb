"""Filters of lists: equality as JSON has it, with and without an index."""

from typing import Any

import pytest

from asyncbackends.errors import InvalidRequestError
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import Json
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.sample import Site, numbered_id

__all__ = ("FiltersConformance",)

SCALARS: list[Json] = [
    0,
    1,
    -1,
    1.5,
    True,
    False,
    "",
    "1",
    "true",
    "True",
    "n:1",
    "a",
    "A",
    "ä",
    2**63,
    2**64 - 1,
    -(2**63),
    2**53 + 1,
    2**53,
    1e300,
    "x" * 5000,
]
EQUALS: list[tuple[Json, Json]] = [(1, 1.0), (0, -0.0), (2**53, float(2**53))]


class FiltersConformance(DatabaseFixtures):
    """The ``filters`` of ``Objects.object_list``: AND of the keys, OR of the values."""

    async def found(self, database: ConfigDatabase, **filters: Any) -> list[str]:
        """List the last part of the names of networks that match."""
        page = await database.object_list("virtual_network", filters=filters)
        count = await database.object_list("virtual_network", count=True, filters=filters)
        assert count == len(page)
        return [fq_name[-1] for fq_name, _ in page]

    async def test_and_of_keys_or_of_values(self, database: ConfigDatabase, site: Site) -> None:
        contents: list[dict[str, Json]] = [
            {"mtu": 1500, "label": "a", "weight": 1},
            {"mtu": 1500, "label": "b", "weight": 2},
            {"mtu": 9000, "label": "a", "weight": 1},
            {},
        ]
        for number, content in enumerate(contents):
            await site.network(str(number), numbered_id(number), **content)
        assert await self.found(database, mtu=[1500]) == ["0", "1"]
        assert await self.found(database, mtu=[1500, 9000]) == ["0", "1", "2"]
        assert await self.found(database, mtu=[1500], label=["a"]) == ["0"]
        assert await self.found(database, weight=[1], label=["a", "b"]) == ["0", "2"]
        assert await self.found(database, weight=[2, 3], mtu=[1500]) == ["1"]
        assert await self.found(database, weight=[3]) == []
        assert await self.found(database) == ["0", "1", "2", "3"]

    @pytest.mark.parametrize("field", ["label", "weight"])
    async def test_every_scalar_is_found_by_itself_alone(
        self, database: ConfigDatabase, site: Site, field: str
    ) -> None:
        for number, value in enumerate(SCALARS):
            await site.network(str(number), numbered_id(number), **{field: value})
        for number, value in enumerate(SCALARS):
            assert await self.found(database, **{field: [value]}) == [str(number)]

    @pytest.mark.parametrize("field", ["label", "weight"])
    @pytest.mark.parametrize(("one", "same"), EQUALS)
    async def test_numbers_are_compared_by_value(
        self, database: ConfigDatabase, site: Site, field: str, one: Json, same: Json
    ) -> None:
        await site.network("one", **{field: one})
        await site.network("two", **{field: same})
        for value in (one, same):
            assert sorted(await self.found(database, **{field: [value]})) == ["one", "two"]

    @pytest.mark.parametrize("field", ["external", "weight"])
    async def test_absent_property_matches_nothing(
        self, database: ConfigDatabase, site: Site, field: str
    ) -> None:
        await site.network("unset")
        content: dict[str, Any] = {field: False}
        await site.network("false", **content)
        assert await self.found(database, **{field: [False]}) == ["false"]
        for nothing in ([None], [0], [""], []):
            assert await self.found(database, **{field: nothing}) == []

    async def test_structured_values(self, database: ConfigDatabase, site: Site) -> None:
        await site.network("0", numbered_id(0), settings={"a": 1, "b": {"c": [1, 2], "d": 1}})
        await site.network("1", numbered_id(1), settings={"a": True})
        await site.network("2", numbered_id(2), settings=[1, {"x": 1.0}])
        # The items of a dict are contained; what is inside them is equal.
        assert await self.found(database, settings=[{"a": 1}]) == ["0"]
        assert await self.found(database, settings=[{"a": 1.0, "b": {"c": [1, 2], "d": 1}}]) == [
            "0"
        ]
        assert await self.found(database, settings=[{"b": {"c": [1, 2]}}]) == []
        assert await self.found(database, settings=[{"b": {"c": [2, 1], "d": 1}}]) == []
        assert await self.found(database, settings=[{"a": True}]) == ["1"]
        assert await self.found(database, settings=[{}]) == ["0", "1"]
        assert await self.found(database, settings=[{"z": None}]) == []
        assert await self.found(database, settings=[[1, {"x": 1}]]) == ["2"]
        assert await self.found(database, settings=[[1, {"x": True}], {"a": True}]) == ["1"]
        assert await self.found(database, settings=[[1]]) == []
        assert await self.found(database, settings=['{"a": 1}']) == []

    async def test_indexed_property_takes_scalars_of_filters_alone(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        await site.network("0", label="a")
        assert await self.found(database, label=[{"a": 1}, ["a"], None]) == []
        assert await self.found(database, label=[{"a": 1}, "a"]) == ["0"]

    @pytest.mark.parametrize("field", ["label", "weight"])
    async def test_filters_see_what_updates_wrote(
        self, database: ConfigDatabase, site: Site, field: str
    ) -> None:
        uuid = await site.network("0", **{field: "a"})
        await database.object_update("virtual_network", uuid, {field: "b"})
        assert await self.found(database, **{field: ["a"]}) == []
        assert await self.found(database, **{field: ["b"]}) == ["0"]
        await database.object_update("virtual_network", uuid, {"mtu": 5})
        assert await self.found(database, **{field: ["b"]}) == ["0"]
        await database.object_update("virtual_network", uuid, {field: None})
        assert await self.found(database, **{field: ["b"]}) == []
        await database.object_update("virtual_network", uuid, {field: "c"})
        assert await self.found(database, **{field: ["b", "c"]}) == ["0"]

    @pytest.mark.parametrize(
        "filters",
        [
            {"colour": ["red"]},
            {"mtu": [1], "colour": ["red"]},
            {"routes": [["r"]]},
            {"tenants": [1]},
            {"fq_name": [["a"]]},
            {"uuid": ["x"]},
            {"virtual_ports": [1]},
            {"tag_refs": [1]},
            {"mtu": 1},
            {"label": "a"},
            {"mtu": [b"1"]},
            {"weight": [float("nan")]},
        ],
        ids=str,
    )
    async def test_bad_filter_is_refused(
        self, database: ConfigDatabase, site: Site, filters: Any
    ) -> None:
        await site.network(mtu=1)
        with pytest.raises(InvalidRequestError):
            await database.object_list("virtual_network", filters=filters)

    async def test_type_without_declared_properties_is_filtered_by_any(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        await site.make("note", numbered_id(1), fq_name=["one"], colour="red")
        await site.make("note", numbered_id(2), fq_name=["two"], shape="round")
        page = await database.object_list("note", filters={"colour": ["red"]})
        assert [fq_name for fq_name, _ in page] == [["one"]]
        assert (await database.object_list("note", filters={"never": ["seen"]})).items == []

    @pytest.mark.parametrize("field", ["label", "weight"])
    async def test_filtered_pages_are_full(
        self, database: ConfigDatabase, site: Site, field: str
    ) -> None:
        for number in range(20):
            await site.network(
                str(number), numbered_id(number), **{field: "a" if number % 4 == 0 else "b"}
            )
        seen: list[str] = []
        marker: str | None = None
        sizes: list[int] = []
        while True:
            page = await database.object_list(
                "virtual_network", filters={field: ["a"]}, limit=2, marker=marker
            )
            seen += [fq_name[-1] for fq_name, _ in page]
            sizes.append(len(page))
            if page.marker is None:
                break
            marker = page.marker
        assert seen == ["0", "4", "8", "12", "16"]
        assert sizes == [2, 2, 1]

    async def test_filters_join_anchors(self, database: ConfigDatabase, site: Site) -> None:
        first = await site.network("0", label="a", weight=1)
        await site.network("1", label="a", weight=1)
        filters: dict[str, list[Json]] = {"label": ["a"], "weight": [1]}
        page = await database.object_list(
            "virtual_network", parent_uuids=[site.project], obj_uuids=[first], filters=filters
        )
        assert [uuid for _, uuid in page] == [first]
        page = await database.object_list("virtual_network", parent_uuids=[], filters=filters)
        assert page.items == []
