"""A user's file that only type checkers read: what the public names promise them."""

from typing import assert_type

from asyncbackends import (
    Change,
    ConfigDatabase,
    ConfigObject,
    Delivery,
    DistributedCoordinationService,
    Fence,
    Gap,
    MessageBroker,
    NodeEvent,
    NodeStat,
    Receipt,
    Subscription,
    WriteResult,
    open_backends,
    open_config_database,
    open_coordination,
    open_message_broker,
)
from asyncbackends.recipes import Election, Held, Lock, Term


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
        assert_type(backends.broker, MessageBroker)
        assert_type(backends.coordination, DistributedCoordinationService)


async def messages() -> None:
    async with open_message_broker(engine="memory") as broker:
        assert_type(broker, MessageBroker)
        assert_type(await broker.publish({"oper": "UPDATE"}, exchange="events"), str)
        receipt = broker.publish_nowait(b"raw", exchange="events")
        _ = assert_type(receipt, Receipt)
        assert_type(await receipt, str)
        async with broker.subscribe("events", "work") as deliveries:
            assert_type(deliveries, Subscription)
            async for delivery in deliveries:
                assert_type(delivery, Delivery)
                async with delivery.process():
                    pass


async def held() -> None:
    async with open_coordination(engine="memory") as coordination:
        assert_type(coordination, DistributedCoordinationService)
        assert_type(await coordination.create_node("/a", "text"), NodeStat)
        assert_type(await coordination.read_node("/a"), bytes)
        assert_type(await coordination.read_node("/a", True), tuple[bytes, NodeStat])
        async with coordination.watch("/a", scope="tree") as events:
            async for event in events:
                assert_type(event, NodeEvent | Gap)
        async with Lock(coordination, "/lock") as lock:
            assert_type(lock, Held)
            assert_type(lock.fence, Fence)
        async with Election(coordination, "/leader").lead() as term:
            assert_type(term, Term)
        assert_type(await coordination.master_election("/leader", "host", count, 3), int)


async def count(number: int) -> int:
    return number
