"""The guarantees that need another process to be seen."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from asyncbackends.errors import ObjectNotFoundError
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures, OpenDatabase
from asyncbackends.testing.config_database.sample import Site, new_id
from asyncbackends.testing.config_database.watching import distinct_changes
from asyncbackends.testing.harness import Harness, Process

__all__ = ("ProcessesConformance",)

PROGRAM = "asyncbackends.testing.config_database.other_process"


def _order(settings: Mapping[str, Any], uuid: str, ids: list[str], writes: int) -> list[str]:
    """Give the command line of the other process."""
    content = {
        "settings": {name: value for name, value in settings.items() if name != "schema"},
        "uuid": uuid,
        "ids": ids,
        "name": new_id(),
        "writes": writes,
    }
    return ["-m", PROGRAM, json.dumps(content, default=str)]


async def _spoken(process: Process) -> Any:
    """Give what the other process says next."""
    line = await process.line()
    assert line, "the other process ended; its error is on stderr"
    return json.loads(line)


class ProcessesConformance(DatabaseFixtures):
    """``SHARED_BETWEEN_PROCESSES``, ``SURVIVES_PROCESS_KILL``, ``SURVIVES_POWER_LOSS``."""

    async def test_shared_between_processes(
        self,
        database: ConfigDatabase,
        settings: Mapping[str, Any],
        site: Site,
        harness: Harness,
    ) -> None:
        shared = Guarantee.SHARED_BETWEEN_PROCESSES in database.guarantees
        here, ids = await site.network("here"), [new_id() for _ in range(3)]
        async with (
            database.watch(types={"tag"}) as feed,
            harness.process(*_order(settings, here, ids, 3)) as process,
            harness.deadline(30),
        ):
            assert await _spoken(process) == ([*site.path, "here"] if shared else None)
            told = [await _spoken(process) for _ in range(3)]
            if not shared:
                assert await database.uuids_to_fq_names(ids) == {}
                return
            read = await database.object_read("tag", ids)
            assert [[one["uuid"], one.revision] for one in read] == told
            changes = await distinct_changes(database, harness, feed, 3)
            assert [[change.uuid, change.revision] for change in changes] == told
            # Both go on writing.
            result = await database.object_update("tag", ids[0], {"value": "here"})
            assert result.revision > told[-1][1]

    async def test_survives_process_kill(
        self,
        open_database: OpenDatabase,
        settings: Mapping[str, Any],
        harness: Harness,
    ) -> None:
        ids = [new_id() for _ in range(2000)]
        command = _order(settings, new_id(), ids, 2000)
        async with harness.process(*command) as process, harness.deadline(30):
            assert await _spoken(process) is None
            told = [await _spoken(process) for _ in range(20)]
            await process.kill()
        async with open_database() as database:
            if Guarantee.SURVIVES_PROCESS_KILL not in database.guarantees:
                with pytest.raises(ObjectNotFoundError):
                    await database.object_get("tag", ids[0])
                return
            acknowledged = [uuid for uuid, _ in told]
            read = await database.object_read("tag", acknowledged)
            assert [[one["uuid"], one.revision] for one in read] == told
            # And the one that was on its way is there as a whole, or not at all.
            page = await database.object_list("tag", field_names=["value"])
            assert sorted(one["value"] for one in page) == [*range(len(page))]
            site = await Site(database).prepare()
            await site.tag("works on")

    async def test_survives_power_loss(self, database: ConfigDatabase, site: Site) -> None:
        """No test can cut the power; what survives that survives less, and is no memory's."""
        if Guarantee.SURVIVES_POWER_LOSS in database.guarantees:
            assert Guarantee.SURVIVES_PROCESS_KILL in database.guarantees
        if Guarantee.SURVIVES_PROCESS_KILL in database.guarantees:
            assert Guarantee.ATOMIC_WRITES in database.guarantees
        assert await site.network()
