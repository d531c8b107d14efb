"""Names and ids."""

from typing import Any

import pytest

from asyncbackends.errors import (
    FqNameNotFoundError,
    InvalidRequestError,
    ObjectNotFoundError,
)
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.sample import Site, new_id

__all__ = ("NamesConformance",)


class NamesConformance(DatabaseFixtures):
    """``FqNames``."""

    async def test_name_to_uuid(self, database: ConfigDatabase, site: Site) -> None:
        network, policy = await site.network("same"), await site.policy("same")
        name = [*site.path, "same"]
        assert await database.fq_name_to_uuid("virtual_network", name) == network
        assert await database.fq_name_to_uuid("network_policy", tuple(name)) == policy

    async def test_name_of_nobody(self, database: ConfigDatabase, site: Site) -> None:
        await site.network("blue")
        for name in ([*site.path], [*site.path, "blue", "x"], [*site.path, "Blue"], ["blue"]):
            with pytest.raises(FqNameNotFoundError):
                await database.fq_name_to_uuid("virtual_network", name)
        with pytest.raises(FqNameNotFoundError):
            await database.fq_name_to_uuid("network_policy", [*site.path, "blue"])

    async def test_names_are_compared_part_by_part(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        names = [["a:b"], ["a", "b"], ["a"], ["a:b", "c"], ["a", "b:c"], ["a ", "b"], ['a","b']]
        ids = [await site.make("tag", new_id(), fq_name=name) for name in names]
        for name, uuid in zip(names, ids, strict=True):
            assert await database.fq_name_to_uuid("tag", name) == uuid
            assert await database.uuid_to_fq_name(uuid) == name

    @pytest.mark.parametrize("wrong", ["text", [], ["a", ""], [5], None])
    async def test_malformed_name_is_refused(self, database: ConfigDatabase, wrong: Any) -> None:
        with pytest.raises(InvalidRequestError):
            await database.fq_name_to_uuid("tag", wrong)
        with pytest.raises(InvalidRequestError):
            await database.fq_names_to_uuids("tag", [["good"], wrong])

    async def test_unknown_type_has_no_names(self, database: ConfigDatabase) -> None:
        with pytest.raises(InvalidRequestError):
            await database.fq_name_to_uuid("virtual-network", ["a"])
        with pytest.raises(InvalidRequestError):
            await database.fq_names_to_uuids("nothing", [["a"]])

    async def test_many_names(self, database: ConfigDatabase, site: Site) -> None:
        ids = {name: await site.network(name) for name in ("a", "b")}
        asked = [[*site.path, name] for name in ("b", "absent", "a", "b")]
        found = await database.fq_names_to_uuids("virtual_network", asked)
        assert found == {(*site.path, name): uuid for name, uuid in ids.items()}
        assert await database.fq_names_to_uuids("virtual_network", []) == {}

    async def test_uuid_to_name_and_type(self, database: ConfigDatabase, site: Site) -> None:
        uuid = await site.network("blue")
        assert await database.uuid_to_fq_name(uuid.upper()) == [*site.path, "blue"]
        assert await database.uuid_to_obj_type(uuid.upper()) == "virtual_network"

    async def test_uuid_of_nobody(self, database: ConfigDatabase, site: Site) -> None:
        for absent in (new_id(), await site.network()):
            if absent in await database.uuids_to_fq_names([absent]):
                await database.object_delete("virtual_network", absent)
            with pytest.raises(ObjectNotFoundError):
                await database.uuid_to_fq_name(absent)
            with pytest.raises(ObjectNotFoundError):
                await database.uuid_to_obj_type(absent)

    @pytest.mark.parametrize("wrong", ["no uuid", 5, None])
    async def test_malformed_id_has_no_name(self, database: ConfigDatabase, wrong: Any) -> None:
        for call in (database.uuid_to_fq_name, database.uuid_to_obj_type):
            with pytest.raises(InvalidRequestError):
                await call(wrong)
        with pytest.raises(InvalidRequestError):
            await database.uuids_to_fq_names([new_id(), wrong])

    async def test_many_uuids(self, database: ConfigDatabase, site: Site) -> None:
        network, tag = await site.network("blue"), await site.tag("t")
        asked = [tag, new_id(), network.upper(), tag]
        assert await database.uuids_to_fq_names(asked) == {
            network: [*site.path, "blue"],
            tag: ["t"],
        }
        assert await database.uuids_to_fq_names([]) == {}

    async def test_name_that_is_read_belongs_to_the_caller(
        self, database: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network("blue")
        (await database.uuid_to_fq_name(uuid)).append("more")
        assert await database.uuid_to_fq_name(uuid) == [*site.path, "blue"]
