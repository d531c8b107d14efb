"""Lists: order, pages, anchors, counts, iteration."""

from typing import Any

import pytest

from asyncbackends.errors import InvalidRequestError, ObjectNotFoundError
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import ALL_FIELDS, ConfigObject, Json
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.sample import Site, new_id, numbered_id, refs, uuids_of

__all__ = ("ListingConformance",)


class ListingConformance(DatabaseFixtures):
    """``Objects.object_list``, ``object_iter`` and ``object_count_children``."""

    async def networks(self, site: Site, count: int) -> list[str]:
        """Create networks in another order than that of their ids; give the ids in order."""
        order = [*range(1, count, 2), *range(0, count, 2)]
        made = {
            number: await site.network(f"n{count - number}", numbered_id(number + 1))
            for number in order
        }
        return [made[number] for number in sorted(made)]

    async def test_list_gives_names_and_ids_by_id(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        ids = await self.networks(site, 10)
        page = await database.object_list("virtual_network")
        assert page.items == [
            ([*site.path, f"n{10 - number}"], uuid) for number, uuid in enumerate(ids)
        ]
        assert page.marker is None
        assert [uuid for _, uuid in page] == ids
        assert len(page) == 10
        assert (await database.object_list("network_policy")).items == []

    @pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 7])
    async def test_pages(self, database: ConfigDatabase, site: Site, limit: int) -> None:
        ids = await self.networks(site, 6)
        seen: list[str] = []
        marker: str | None = None
        while True:
            page = await database.object_list("virtual_network", marker=marker, limit=limit)
            assert 1 <= len(page) <= limit
            seen += [uuid for _, uuid in page]
            # The marker is None exactly when nothing follows.
            assert (page.marker is None) == (len(seen) == len(ids))
            if page.marker is None:
                break
            marker = page.marker
        assert seen == ids

    async def test_page_of_a_type_without_objects(self, database: ConfigDatabase) -> None:
        page = await database.object_list("virtual_network", limit=5)
        assert (page.items, page.marker) == ([], None)

    async def test_page_goes_on_after_the_marker_whatever_changed(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        ids = await self.networks(site, 6)
        page = await database.object_list("virtual_network", limit=3)
        await database.object_delete("virtual_network", ids[2])
        await site.network("before", numbered_id(0))
        await database.object_delete("virtual_network", ids[4])
        rest = await database.object_list("virtual_network", marker=page.marker, limit=3)
        assert [uuid for _, uuid in rest] == [ids[3], ids[5]]
        assert rest.marker is None

    @pytest.mark.parametrize("limit", [0, -1, True, "5", 1.5])
    async def test_bad_limit_is_refused(self, database: ConfigDatabase, limit: Any) -> None:
        with pytest.raises(InvalidRequestError):
            await database.object_list("virtual_network", limit=limit)

    @pytest.mark.parametrize("marker", ["", "x", "after:", "after:no-uuid", 5])
    async def test_bad_marker_is_refused(self, database: ConfigDatabase, marker: Any) -> None:
        with pytest.raises(InvalidRequestError):
            await database.object_list("virtual_network", marker=marker)

    async def test_unknown_type_is_not_listed(self, database: ConfigDatabase) -> None:
        with pytest.raises(InvalidRequestError):
            await database.object_list("virtual_networks")

    async def test_objects_instead_of_names(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network("blue", mtu=1500, routes=["r"], label="x")
        page = await database.object_list("virtual_network", field_names=["mtu", "routes"])
        assert page.items == [
            {
                **site.below("blue"),
                "uuid": uuid,
                "parent_type": "project",
                "parent_uuid": site.project,
                "mtu": 1500,
                "routes": ["r"],
            }
        ]
        assert isinstance(page.items[0], ConfigObject)
        project = (await database.object_list("project", field_names=ALL_FIELDS)).items[0]
        assert uuids_of(project["virtual_networks"]) == [uuid]
        assert (
            "virtual_networks"
            not in (await database.object_list("project", field_names=["display_name"])).items[0]
        )

    async def test_pages_of_objects(self, database: ConfigDatabase, site: Site) -> None:
        ids = await self.networks(site, 5)
        first = await database.object_list("virtual_network", limit=2, field_names=["mtu"])
        assert [one["uuid"] for one in first] == ids[:2]
        second = await database.object_list(
            "virtual_network", limit=3, marker=first.marker, field_names=["mtu"]
        )
        assert [one["uuid"] for one in second] == ids[2:]
        assert second.marker is None

    async def test_anchors(self, database: ConfigDatabase, site: Site) -> None:
        other = await site.make("project", new_id(), fq_name=["default-domain", "other"])
        policy, unused = await site.policy("a"), await site.policy("b")
        holder = await site.network("holder", network_policy_refs=refs(policy))
        plain = await site.network("plain")
        elsewhere = await site.make(
            "virtual_network",
            new_id(),
            fq_name=["default-domain", "other", "n"],
            network_policy_refs=refs(policy),
        )

        async def listed(**anchors: Any) -> set[str]:
            ask: Any = database.object_list
            page = await ask("virtual_network", **anchors)
            assert await database.object_list("virtual_network", count=True, **anchors) == len(page)
            return {uuid for _, uuid in page}

        assert await listed(parent_uuids=[site.project]) == {holder, plain}
        assert await listed(parent_uuids=[site.project, other]) == {holder, plain, elsewhere}
        assert await listed(back_ref_uuids=[policy]) == {holder, elsewhere}
        assert await listed(back_ref_uuids=[unused]) == set()
        assert await listed(back_ref_uuids=[policy, unused]) == {holder, elsewhere}
        assert await listed(obj_uuids=[plain, policy, new_id(), plain]) == {plain}
        # All restrictions hold together.
        assert await listed(parent_uuids=[site.project], back_ref_uuids=[policy]) == {holder}
        assert await listed(parent_uuids=[other], obj_uuids=[holder, elsewhere]) == {elsewhere}
        assert await listed(back_ref_uuids=[policy], obj_uuids=[plain]) == set()

    @pytest.mark.parametrize("anchor", ["parent_uuids", "back_ref_uuids", "obj_uuids"])
    async def test_anchors_are_checked(
        self, database: ConfigDatabase, site: Site, anchor: str
    ) -> None:
        await site.network()
        for nothing in ([], [new_id()]):
            restrictions: Any = {anchor: nothing}
            ask: Any = database.object_list
            assert (await ask("virtual_network", **restrictions)).items == []
            assert await database.object_list("virtual_network", count=True, **restrictions) == 0
        for wrong in (new_id(), ["no uuid"]):
            restrictions = {anchor: wrong}
            with pytest.raises(InvalidRequestError):
                await database.object_list("virtual_network", **restrictions)

    async def test_same_type_refs_are_an_anchor(self, database: ConfigDatabase, site: Site) -> None:
        blue = await site.network("blue")
        red = await site.network("red", virtual_network_refs=refs(blue))
        for one, peer in ((blue, red), (red, blue)):
            page = await database.object_list("virtual_network", back_ref_uuids=[one])
            assert [uuid for _, uuid in page] == [peer]

    async def test_anchored_pages(self, database: ConfigDatabase, site: Site) -> None:
        ids = await self.networks(site, 4)
        policy = await site.policy()
        for uuid in ids:
            await database.create_ref("virtual_network", uuid, "network_policy", policy)
        anchors: list[dict[str, Any]] = [
            {"parent_uuids": [site.project]},
            {"back_ref_uuids": [policy]},
            {"obj_uuids": [*reversed(ids), new_id()]},
            {"parent_uuids": [site.project], "obj_uuids": ids},
        ]
        for anchor in anchors:
            ask: Any = database.object_list
            first = await ask("virtual_network", limit=2, **anchor)
            assert [uuid for _, uuid in first] == ids[:2]
            last = await ask("virtual_network", limit=2, marker=first.marker, **anchor)
            assert [uuid for _, uuid in last] == ids[2:]
            assert last.marker is None

    async def test_count(self, database: ConfigDatabase, site: Site) -> None:
        assert await database.object_list("virtual_network", count=True) == 0
        await self.networks(site, 3)
        counted = await database.object_list("virtual_network", count=True)
        assert (type(counted), counted) == (int, 3)
        beyond: list[dict[str, Any]] = [{"limit": 5}, {"marker": "x"}, {"field_names": ["mtu"]}]
        for argument in beyond:
            with pytest.raises(InvalidRequestError):
                await database.object_list("virtual_network", count=True, **argument)

    @pytest.mark.parametrize("page", [1, 3, 7, 500])
    async def test_iteration(self, database: ConfigDatabase, site: Site, page: int) -> None:
        ids = await self.networks(site, 7)
        found = [one async for one in database.object_iter("virtual_network", page=page)]
        assert [one["uuid"] for one in found] == ids
        assert found[0].revision == (await database.object_get("virtual_network", ids[0])).revision

    async def test_iteration_takes_restrictions_and_fields(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        ids = await self.networks(site, 5)
        await database.object_update("virtual_network", ids[1], {"mtu": 1, "label": "x"})
        await database.object_update("virtual_network", ids[3], {"mtu": 1, "label": "y"})
        filters: dict[str, list[Json]] = {"mtu": [1]}
        found = [
            one
            async for one in database.object_iter(
                "virtual_network",
                parent_uuids=[site.project],
                obj_uuids=ids[:3],
                filters=filters,
                field_names=["label"],
                page=1,
            )
        ]
        assert [(one["uuid"], one.get("label"), "mtu" in one) for one in found] == [
            (ids[1], "x", False)
        ]

    async def test_iteration_gives_what_is_there_all_the_time_once(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        ids = await self.networks(site, 9)
        seen: list[str] = []
        async for one in database.object_iter("virtual_network", page=2):
            seen.append(one["uuid"])
            if len(seen) == 3:
                await database.object_delete("virtual_network", ids[0])
                await database.object_delete("virtual_network", ids[7])
                await site.network("new", numbered_id(0))
        always = [uuid for uuid in ids if uuid not in {ids[0], ids[7]}]
        assert [uuid for uuid in seen if uuid in always] == always

    async def test_iteration_over_nothing_and_of_an_unknown_type(
        self, database: ConfigDatabase
    ) -> None:
        assert [one async for one in database.object_iter("virtual_network")] == []
        with pytest.raises(InvalidRequestError):
            [one async for one in database.object_iter("nothing")]

    async def test_count_children(self, database: ConfigDatabase, site: Site) -> None:
        assert await database.object_count_children("project", site.project, "tag") == 0
        await self.networks(site, 3)
        await site.policy()
        count = await database.object_count_children("project", site.project, "virtual_network")
        assert (type(count), count) == (int, 3)
        assert await database.object_count_children("project", site.project, "network_policy") == 1

    async def test_count_children_is_checked(self, database: ConfigDatabase, site: Site) -> None:
        with pytest.raises(InvalidRequestError):
            await database.object_count_children("project", site.project, "virtual_networks")
        with pytest.raises(InvalidRequestError):
            await database.object_count_children("project", site.project, "domain")
        for absent in (new_id(), site.domain):
            with pytest.raises(ObjectNotFoundError):
                await database.object_count_children("project", absent, "virtual_network")
