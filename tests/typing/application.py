"""A user's file that only type checkers read: what the public names promise them."""

from typing import assert_type

from asyncbackends import (
    Change,
    ConfigDatabase,
    ConfigObject,
    Gap,
    WriteResult,
    open_backends,
    open_config_database,
)


async def service(network: str) -> None:
    async with open_config_database(engine="sqlite", endpoints="site.db") as database:
        assert_type(database, ConfigDatabase)
        created = await database.object_create("virtual_network", network, {"fq_name": ["blue"]})
        assert_type(created, WriteResult)
        read = await database.object_get("virtual_network", network)
        assert_type(read, ConfigObject)
        await database.object_update(
            "virtual_network", network, {"mtu": 9000}, expected_revision=read.revision
        )


async def follow(database: ConfigDatabase) -> None:
    async with database.watch(types={"virtual_network"}) as changes:
        async for change in changes:
            assert_type(change, Change | Gap)


async def configured() -> None:
    async with open_backends({"database": {"engine": "memory"}}) as backends:
        assert_type(backends.database, ConfigDatabase)
