"""Which objects are shared with whom."""

from typing import Any

import pytest

from asyncbackends.errors import InvalidRequestError, ObjectNotFoundError
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.sample import Site, new_id, numbered_id

__all__ = ("SharingConformance",)

NETWORK = "virtual_network"


class SharingConformance(DatabaseFixtures):
    """``Sharing``."""

    async def test_nothing_is_shared(self, database: ConfigDatabase, site: Site) -> None:
        await site.network()
        assert await database.get_shared(NETWORK) == []
        assert await database.get_shared(NETWORK, "p1", "tenant") == []

    async def test_shares_are_ordered_by_uuid(self, database: ConfigDatabase, site: Site) -> None:
        ids = [numbered_id(number) for number in (3, 1, 2)]
        for number, uuid in enumerate(ids):
            await site.network(f"n{number}", uuid)
            await database.set_shared(NETWORK, uuid, "p1", "tenant", rwx=number)
        shared = await database.get_shared(NETWORK, "p1", "tenant")
        assert shared == [(ids[1], 1), (ids[2], 2), (ids[0], 0)]

    async def test_shares_are_apart(self, database: ConfigDatabase, site: Site) -> None:
        network, policy = await site.network(), await site.policy()
        await database.set_shared(NETWORK, network)
        await database.set_shared(NETWORK, network, "p1", "tenant", 5)
        await database.set_shared(NETWORK, network, "p1", "domain", 4)
        await database.set_shared(NETWORK, network, "p:1", "tenant", 3)
        await database.set_shared("network_policy", policy, "p1", "tenant", 1)
        assert await database.get_shared(NETWORK) == [(network, 7)]
        assert await database.get_shared(NETWORK, "p1", "tenant") == [(network, 5)]
        assert await database.get_shared(NETWORK, "p1", "domain") == [(network, 4)]
        assert await database.get_shared(NETWORK, "p:1", "tenant") == [(network, 3)]
        assert await database.get_shared("network_policy", "p1", "tenant") == [(policy, 1)]
        assert await database.get_shared("tag", "p1", "tenant") == []

    async def test_sharing_again_changes_the_permissions(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        network = await site.network()
        for rwx in (7, 0, 4):
            await database.set_shared(NETWORK, network.upper(), rwx=rwx)
            assert await database.get_shared(NETWORK) == [(network, rwx)]

    async def test_end_of_a_share(self, database: ConfigDatabase, site: Site) -> None:
        network = await site.network()
        await database.set_shared(NETWORK, network)
        await database.set_shared(NETWORK, network, "p1", "tenant")
        await database.del_shared(NETWORK, network)
        assert await database.get_shared(NETWORK) == []
        assert await database.get_shared(NETWORK, "p1", "tenant") == [(network, 7)]
        # Repeated, and of what was never there.
        await database.del_shared(NETWORK, network)
        await database.del_shared(NETWORK, new_id(), "p1", "tenant")

    async def test_missing_object_is_not_shared(self, database: ConfigDatabase, site: Site) -> None:
        for absent in (new_id(), await site.policy()):
            with pytest.raises(ObjectNotFoundError):
                await database.set_shared(NETWORK, absent)
        assert await database.get_shared(NETWORK) == []

    @pytest.mark.parametrize("rwx", [8, -1, "7", True, 1.0, None])
    async def test_bad_permissions_are_refused(
        self, database: ConfigDatabase, site: Site, rwx: Any
    ) -> None:
        network = await site.network()
        await database.set_shared(NETWORK, network, rwx=5)
        with pytest.raises(InvalidRequestError):
            await database.set_shared(NETWORK, network, rwx=rwx)
        assert await database.get_shared(NETWORK) == [(network, 5)]

    @pytest.mark.parametrize(
        ("share_id", "share_type"), [("a\0", "tenant"), ("x" * 256, "tenant"), ("p1", ""), (5, "t")]
    )
    async def test_bad_share_is_refused(
        self, database: ConfigDatabase, site: Site, share_id: Any, share_type: Any
    ) -> None:
        network = await site.network()
        with pytest.raises(InvalidRequestError):
            await database.set_shared(NETWORK, network, share_id, share_type)
        with pytest.raises(InvalidRequestError):
            await database.del_shared(NETWORK, network, share_id, share_type)

    async def test_unknown_type_is_not_shared(self, database: ConfigDatabase) -> None:
        with pytest.raises(InvalidRequestError):
            await database.get_shared("nothing")
        with pytest.raises(InvalidRequestError):
            await database.set_shared("nothing", new_id())

    async def test_shares_take_no_revision(self, database: ConfigDatabase, site: Site) -> None:
        network = await site.network()
        before = await database.current_revision()
        await database.set_shared(NETWORK, network)
        await database.del_shared(NETWORK, network)
        assert await database.current_revision() == before
        assert (await database.object_get(NETWORK, network)).revision <= before
