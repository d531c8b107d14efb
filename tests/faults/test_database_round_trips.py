"""How often a call goes to the server and back, counted on the way."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from uuid import uuid4

import pytest

from asyncbackends import ALL_FIELDS, CollectionUpdate, ConfigDatabase
from asyncbackends.errors import (
    AlreadyExistsError,
    BackendError,
    DanglingRefError,
    RevisionConflictError,
    StillReferencedError,
)
from tests.faults.database_trials import RunTrial, Trial, each_driver
from tests.servers.proxy import Proxy

pytestmark = [each_driver, pytest.mark.timeout(120)]

Call = Callable[[], Coroutine[Any, Any, Any]]


class Calls:
    """Calls that can be made again and again, and how many round trips each may take."""

    refs: list[str]

    def __init__(self, db: ConfigDatabase) -> None:
        self._db = db
        self.project = str(uuid4())
        self.holder = str(uuid4())
        self.networks = [str(uuid4()) for _ in range(3)]
        self.targets = [str(uuid4()) for _ in range(30)]

    async def prepare(self) -> None:
        await self._db.object_create("project", self.project, {"fq_name": ["p"]})
        for network in self.networks:
            await self._db.object_create("network", network, {"fq_name": [network]})
        for uuid in (*self.targets, self.holder):
            await self._db.object_create(
                "subnet", uuid, {"fq_name": ["p", uuid], "parent_type": "project"}
            )

    @property
    def in_one(self) -> Mapping[str, Call]:
        """Those that take one round trip."""
        db, holder, targets = self._db, self.holder, iter(self.targets * 2)
        fq_name = ["p", holder]
        return {
            "create": lambda: self.create({}),
            "create with a parent by name": lambda: self.create({"parent_type": "project"}),
            "create with a parent by uuid": lambda: self.create(
                {"parent_type": "project", "parent_uuid": self.project}
            ),
            "create with refs by name": lambda: self.create(
                {"network_refs": [{"to": [name]} for name in self.networks]}
            ),
            "create with refs by uuid": lambda: self.create(
                {"subnet_refs": [{"uuid": self.targets[at], "attr": {"a": 1}} for at in (3, 4)]}
            ),
            "get": lambda: db.object_get("subnet", holder),
            "get with everything": lambda: db.object_get("project", self.project, ALL_FIELDS),
            "read of 20": lambda: db.object_read("subnet", self.targets[:20]),
            "raw read": lambda: db.object_raw_read("subnet", self.targets[:20], ["text"]),
            "list page": lambda: db.object_list("subnet", limit=10),
            "list page by parent": lambda: db.object_list(
                "subnet", parent_uuids=[self.project], limit=10
            ),
            "list page with field names": lambda: db.object_list(
                "subnet", limit=10, field_names=["servers", "subnet_refs"]
            ),
            "count": lambda: db.object_list("subnet", count=True),
            "count of children": lambda: db.object_count_children(
                "project", self.project, "subnet"
            ),
            "ref_update": lambda: db.ref_update(
                "subnet", holder, "subnet", next(targets), {"attr": {"a": 1}}, "ADD"
            ),
            "ref_update to delete": lambda: self.delete_ref(),
            "element append": lambda: db.prop_collection_update(
                "subnet", holder, [CollectionUpdate("servers", "add", "x")]
            ),
            "element update": lambda: db.prop_collection_update(
                "subnet", holder, [CollectionUpdate("servers", "modify", "y", "0")]
            ),
            "element delete": lambda: db.prop_collection_update(
                "subnet", holder, [CollectionUpdate("servers", "delete", position="0")]
            ),
            "collection read": lambda: db.prop_collection_read("subnet", holder, ["servers"]),
            "fq_name_to_uuid": lambda: db.fq_name_to_uuid("subnet", fq_name),
            "uuid_to_fq_name": lambda: db.uuid_to_fq_name(holder),
            "uuid_to_obj_type": lambda: db.uuid_to_obj_type(holder),
            "fq_names_to_uuids": lambda: db.fq_names_to_uuids(
                "subnet", [["p", uuid] for uuid in self.targets]
            ),
            "set_shared": lambda: db.set_shared("subnet", holder, "tenant", "tenant", 5),
            "get_shared": lambda: db.get_shared("subnet", "tenant", "tenant"),
            "useragent_kv_store": lambda: db.useragent_kv_store("key", "value"),
            "useragent_kv_retrieve": lambda: db.useragent_kv_retrieve("key"),
            "kv_list": lambda: db.kv_list("table"),
            "current_revision": db.current_revision,
            "server_info": db.server_info,
        }

    @property
    def in_two(self) -> Mapping[str, Call]:
        """Those that may take two: they look first, or are refused."""
        db, holder = self._db, self.holder
        stale = {"text": "x"}
        return {
            # The other end has to be changed, too: it must be known by its uuid.
            "create with refs of its own type by name": lambda: self.create(
                {"subnet_refs": [{"to": ["p", self.targets[at]]} for at in range(2)]}
            ),
            "update": lambda: db.object_update("subnet", holder, {"text": str(uuid4())}),
            "update of refs": lambda: db.object_update(
                "subnet", self.targets[0], {"subnet_refs": [{"uuid": str(self.targets[9])}]}
            ),
            "update of a list": lambda: db.object_update(
                "subnet", holder, {"servers": [str(uuid4())]}
            ),
            "batch": self.batch,
            "create of many": self.create_many,
            "kv_put": lambda: db.kv_put("table", "key", {"a": str(uuid4())}),
            "refused: name taken": lambda: refused(
                AlreadyExistsError,
                db.object_create("subnet", str(uuid4()), {"fq_name": ["p", holder]}),
            ),
            "refused: dangling ref": lambda: refused(
                DanglingRefError, self.create({"subnet_refs": [{"uuid": str(uuid4())}]})
            ),
            "refused: dangling ref_update": lambda: refused(
                DanglingRefError,
                db.ref_update("subnet", holder, "subnet", str(uuid4()), None, "ADD"),
            ),
            "refused: stale": lambda: refused(
                RevisionConflictError,
                db.object_update("subnet", holder, stale, expected_revision=1),
            ),
            "refused: delete of what is referenced": lambda: refused(
                StillReferencedError, db.object_delete("network", self.networks[0])
            ),
        }

    async def create(self, body: dict[str, Any]) -> None:
        uuid = str(uuid4())
        name = ["p", uuid] if "parent_type" in body else [uuid]
        await self._db.object_create("subnet", uuid, {"fq_name": name, "servers": ["a"], **body})

    async def delete_ref(self) -> None:
        await self._db.ref_update(
            "subnet", self.targets[5], "subnet", self.refs.pop(), None, "DELETE"
        )

    async def batch(self) -> None:
        async with self._db.batch() as batch:
            for uuid in (str(uuid4()), str(uuid4())):
                batch.object_create("subnet", uuid, {"fq_name": [uuid]})
            batch.object_update("subnet", self.holder, {"text": str(uuid4())})

    async def create_many(self) -> None:
        uuids = [str(uuid4()) for _ in range(20)]
        await self._db.object_create_many([("subnet", uuid, {"fq_name": [uuid]}) for uuid in uuids])

    async def prepare_refs(self) -> None:
        for network in self.networks:
            await self._db.ref_update("subnet", self.holder, "network", network, None, "ADD")
        self.refs = self.targets[10:20]
        for uuid in self.refs:
            await self._db.ref_update("subnet", self.targets[5], "subnet", uuid, None, "ADD")


async def refused(kind: type[BackendError], call: Coroutine[Any, Any, Any]) -> None:
    with pytest.raises(kind):
        await call


@pytest.mark.promise("database.round-trips")
def test_round_trips(run_trial: RunTrial, engine: str, figure: Callable[[str], None]) -> None:
    figure(run_trial(round_trips))


async def round_trips(trial: Trial) -> str:
    async with (
        Proxy(trial.server.endpoint) as proxy,
        trial.open(endpoints=proxy.endpoint, pool_size=1) as db,
    ):
        calls = Calls(db)
        await calls.prepare()
        await calls.prepare_refs()
        taken: dict[str, int] = {}
        for name, call in {**calls.in_one, **calls.in_two}.items():
            # The first use of a statement may take more.
            for _ in range(2):
                await call()
            with proxy.counting() as trips:
                await call()
            taken[name] = trips.count
        deleted = str(uuid4())
        for _ in range(3):
            await db.object_create("subnet", deleted, {"fq_name": [deleted], "servers": ["a"]})
            with proxy.counting() as trips:
                await db.object_delete("subnet", deleted)
            taken["delete"] = trips.count
    most = dict.fromkeys(taken, 2) | dict.fromkeys(calls.in_one, 1)
    over = {name: count for name, count in taken.items() if count > most[name]}
    assert over == {}
    return (
        f"{trial.driver}: {len(calls.in_one)} kinds of calls in one round trip, the others in two"
    )
