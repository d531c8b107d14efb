"""Opening a file: what is wrong with it is said in one sentence, and nothing is half made."""

import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

from asyncbackends import (
    ConfigDatabase,
    ConnectionState,
    Guarantee,
    ObjectType,
    Schema,
    open_config_database,
)
from asyncbackends.errors import (
    BackendError,
    ConfigurationError,
    ConnectionFailedError,
    SchemaVersionError,
)
from asyncbackends.opening import Opener

FREE = Schema({"tag": ObjectType()})
INDEXED = Schema({"tag": ObjectType(indexed=("colour",))})
TAG = "00000000-0000-4000-8000-000000000001"


def opener(path: Path | str, **options: Any) -> Opener[ConfigDatabase]:
    options = {"schema": FREE, **options}
    return open_config_database(engine="sqlite", endpoints=[str(path)], **options)


async def refusal(path: Path | str, **options: Any) -> BackendError:
    with pytest.raises(BackendError) as refused:
        async with opener(path, **options):
            pass
    message = str(refused.value)
    assert "\n" not in message.partition(" with:\n")[0]
    return refused.value


async def test_folder_as_path(tmp_path: Path) -> None:
    error = await refusal(tmp_path)
    assert isinstance(error, ConnectionFailedError)
    assert str(error) == f"{tmp_path} is a folder; the endpoint is the path of a file"


async def test_missing_folder(tmp_path: Path) -> None:
    error = await refusal(tmp_path / "missing" / "x.db")
    assert isinstance(error, ConnectionFailedError)
    assert f"the folder of {tmp_path / 'missing' / 'x.db'} does not exist" in str(error)


async def test_another_kind_of_file(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    content = b"#!/bin/sh\n" * 200
    path.write_bytes(content)
    error = await refusal(path)
    assert isinstance(error, ConfigurationError)
    assert str(path) in str(error)
    assert "not a SQLite database" in str(error)
    assert path.read_bytes() == content


async def test_odd_characters_in_the_path(tmp_path: Path) -> None:
    path = tmp_path / "a?b#c%20 é.db"
    async with opener(path) as db:
        await db.object_create("tag", TAG, {"fq_name": ["x"]})
    assert path.exists()


@pytest.mark.parametrize("endpoints", [[], ["a.db", "b.db"]])
async def test_one_endpoint(endpoints: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="has one endpoint, a path or :memory:"):
        async with open_config_database(engine="sqlite", endpoints=endpoints):
            pass


async def test_without_create_schema_the_statements_are_printed_and_work(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    error = await refusal(path, create_schema=False)
    assert isinstance(error, SchemaVersionError)
    assert not path.exists()
    script = str(error).partition(" with:\n")[2]
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE other (id INTEGER)")
    error = await refusal(path, create_schema=False)
    assert isinstance(error, SchemaVersionError)
    assert str(error).partition(" with:\n")[2] == script
    connection.executescript(script)
    connection.close()
    async with opener(path, create_schema=False) as db:
        await db.object_create("tag", TAG, {"fq_name": ["x"]})


async def test_tables_of_a_newer_version(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with opener(path):
        pass
    connection = sqlite3.connect(path)
    connection.execute("UPDATE asyncbackends_meta SET value = 99 WHERE key = 'version'")
    connection.commit()
    connection.close()
    error = await refusal(path)
    assert isinstance(error, SchemaVersionError)
    assert "99" in str(error)


async def test_tables_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE object (id INTEGER)")
    connection.close()
    error = await refusal(path, namespace="")
    assert isinstance(error, ConfigurationError)
    assert "choose another namespace" in str(error)
    async with opener(path) as db:
        assert db.state is ConnectionState.CONNECTED


async def test_namespaces_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with opener(path, namespace="") as bare, opener(path, namespace="b") as other:
        await bare.object_create("tag", TAG, {"fq_name": ["x"]})
        assert await other.object_list("tag", count=True) == 0
        assert await bare.object_list("tag", count=True) == 1


async def test_the_umask_rules_who_may_read(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        async with opener(tmp_path / "x.db") as db:
            await db.object_create("tag", TAG, {"fq_name": ["x"]})
            modes = {stat.S_IMODE(os.stat(file).st_mode) for file in os.scandir(tmp_path)}  # noqa: PTH116  # of an entry
        assert modes == {0o600}
    finally:
        os.umask(before)


async def test_guarantees_follow_the_options(tmp_path: Path) -> None:
    process_kill = Guarantee.SURVIVES_PROCESS_KILL
    power_loss = Guarantee.SURVIVES_POWER_LOSS
    async with opener(tmp_path / "x.db") as db:
        assert process_kill in db.guarantees
        assert power_loss not in db.guarantees
    async with opener(tmp_path / "x.db", synchronous="full", require="survives_power_loss") as db:
        assert {process_kill, power_loss} <= db.guarantees
    async with opener(":memory:", synchronous="full") as db:
        assert not {process_kill, power_loss, Guarantee.SHARED_BETWEEN_PROCESSES} & db.guarantees
    async with opener(tmp_path / "x.db", integrity="legacy") as db:
        assert Guarantee.UNIQUE_NAMES not in db.guarantees


async def test_nothing_is_left_beside_the_file(tmp_path: Path) -> None:
    async with opener(tmp_path / "x.db") as db:
        await db.object_create("tag", TAG, {"fq_name": ["x"]})
    assert os.listdir(tmp_path) == ["x.db"]  # noqa: PTH208  # pathlib blocks no less


async def test_a_property_that_becomes_indexed_is_found_in_old_objects(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with opener(path) as db:
        await db.object_create("tag", TAG, {"fq_name": ["x"], "colour": "red"})
    async with opener(path, schema=INDEXED) as db:
        page = await db.object_list("tag", filters={"colour": ["red"]})
        assert [uuid for _, uuid in page] == [TAG]


async def test_an_opener_with_the_old_schema_keeps_a_new_index(tmp_path: Path) -> None:
    path, other = tmp_path / "x.db", TAG[:-1] + "2"
    async with opener(path) as old:
        await old.object_create("tag", TAG, {"fq_name": ["x"], "colour": "red"})
        async with opener(path, schema=INDEXED) as new:
            await old.object_create("tag", other, {"fq_name": ["y"], "colour": "red"})
            await old.object_update("tag", TAG, {"colour": "blue"})
            found = await new.object_list("tag", filters={"colour": ["red", "blue"]})
            assert [uuid for _, uuid in found] == [TAG, other]
            assert await new.object_list("tag", filters={"colour": ["red"]}, count=True) == 1
            with pytest.raises(BackendError, match="colour is indexed"):
                await old.object_update("tag", TAG, {"colour": {"r": 1}})
            await old.object_delete("tag", TAG)
            assert await new.object_list("tag", filters={"colour": ["blue"]}, count=True) == 0


async def test_what_cannot_be_indexed_is_named_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with opener(path) as db:
        await db.object_create("tag", TAG, {"fq_name": ["x"], "colour": {"r": 1}})
        with pytest.raises(ConfigurationError, match=f"'colour' of {TAG}"):
            await db.set_schema(INDEXED)
    error = await refusal(path, schema=INDEXED)
    assert isinstance(error, ConfigurationError)
    assert f"'colour' of {TAG}" in str(error)
    async with opener(path) as db:
        assert db.schema == FREE
