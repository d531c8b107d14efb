"""Texts by key, and rows of columns in tables."""

from typing import Any

import pytest

from asyncbackends.errors import (
    InvalidRequestError,
    NotFoundError,
    RevisionConflictError,
    UseragentKeyNotFoundError,
)
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.key_values import SupportsKeyValue
from asyncbackends.protocols.values import Json
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.sample import Site
from asyncbackends.testing.config_database.watching import distinct_changes
from asyncbackends.testing.harness import Harness

__all__ = ("KeyValueConformance", "UseragentConformance")


class UseragentConformance(DatabaseFixtures):
    """``UseragentKeyValue``."""

    async def test_store_and_retrieve(self, database: ConfigDatabase) -> None:
        await database.useragent_kv_store("a", "1")
        await database.useragent_kv_store("a", "{'not': json}")
        assert await database.useragent_kv_retrieve("a") == "{'not': json}"
        await database.useragent_kv_store("ü:\n", "")
        assert await database.useragent_kv_retrieve("ü:\n") == ""

    async def test_retrieve_many(self, database: ConfigDatabase) -> None:
        for key in ("a", "b", "c"):
            await database.useragent_kv_store(key, key * 2)
        found = await database.useragent_kv_retrieve(["c", "absent", "a", "a"])
        assert found == {"a": "aa", "c": "cc"}
        assert await database.useragent_kv_retrieve([]) == {}

    async def test_absent_key(self, database: ConfigDatabase) -> None:
        with pytest.raises(UseragentKeyNotFoundError):
            await database.useragent_kv_retrieve("a")
        with pytest.raises(UseragentKeyNotFoundError):
            await database.useragent_kv_delete("a")

    async def test_delete(self, database: ConfigDatabase) -> None:
        await database.useragent_kv_store("a", "1")
        await database.useragent_kv_store("b", "2")
        await database.useragent_kv_delete("a")
        assert await database.useragent_kv_retrieve(["a", "b"]) == {"b": "2"}
        with pytest.raises(UseragentKeyNotFoundError):
            await database.useragent_kv_delete("a")

    @pytest.mark.parametrize(
        ("key", "value"), [("", "x"), ("x" * 256, "x"), (5, "x"), ("a\0", "x"), ("a", 5)]
    )
    async def test_bad_text_is_refused(
        self, database: ConfigDatabase, key: Any, value: Any
    ) -> None:
        with pytest.raises(InvalidRequestError):
            await database.useragent_kv_store(key, value)

    async def test_useragent_takes_no_revision(self, database: ConfigDatabase) -> None:
        before = await database.current_revision()
        await database.useragent_kv_store("a", "1")
        await database.useragent_kv_delete("a")
        assert await database.current_revision() == before


class KeyValueConformance(DatabaseFixtures):
    """``SupportsKeyValue``."""

    async def test_every_database_supports_it(self, database: ConfigDatabase) -> None:
        assert isinstance(database, SupportsKeyValue)

    async def test_put_sets_columns(self, database: ConfigDatabase) -> None:
        first = await database.kv_put("t", "k", {"a": 1, "b": {"x": [None]}})
        second = await database.kv_put("t", "k", {"b": "new", "c": True})
        assert await database.kv_get("t", "k") == {"a": 1, "b": "new", "c": True}
        assert second.revision > first.revision
        assert second.last_modified >= first.last_modified
        assert first.peers == ()

    async def test_rows_and_tables_are_apart(self, database: ConfigDatabase) -> None:
        places = [("t", "k"), ("t", "K"), ("T", "k"), ("t:k", "k"), ("t", "t:k"), ("ü", "名")]
        for number, (table, key) in enumerate(places):
            await database.kv_put(table, key, {"n": number})
        for number, (table, key) in enumerate(places):
            assert await database.kv_get(table, key) == {"n": number}

    async def test_absent_row(self, database: ConfigDatabase) -> None:
        await database.kv_put("t", "k", {"a": 1})
        for table, key in (("t", "x"), ("x", "k")):
            with pytest.raises(NotFoundError):
                await database.kv_get(table, key)

    async def test_delete_of_columns_and_rows(self, database: ConfigDatabase) -> None:
        await database.kv_put("t", "k", {"a": 1, "b": 2, "c": 3})
        result = await database.kv_delete("t", "k", ["a", "absent"])
        assert await database.kv_get("t", "k") == {"b": 2, "c": 3}
        assert result.revision == await database.current_revision()
        # The last column takes the row with it.
        await database.kv_delete("t", "k", ["b", "c"])
        with pytest.raises(NotFoundError):
            await database.kv_get("t", "k")
        await database.kv_put("t", "k", {"a": 1, "b": 2})
        await database.kv_delete("t", "k")
        assert (await database.kv_list("t")).items == []

    async def test_delete_of_nothing_is_no_error(self, database: ConfigDatabase) -> None:
        await database.kv_put("t", "k", {"a": 1})
        before = await database.current_revision()
        for table, key, columns in (("t", "x", None), ("x", "k", None), ("t", "k", ["b"])):
            result = await database.kv_delete(table, key, columns)
            assert result.revision == before
        assert await database.current_revision() == before

    async def test_replace(self, database: ConfigDatabase) -> None:
        await database.kv_put("t", "k", {"a": 1, "b": 2})
        await database.kv_replace("t", "k", {"c": 3})
        assert await database.kv_get("t", "k") == {"c": 3}
        await database.kv_replace("t", "new", {"a": 1})
        assert await database.kv_get("t", "new") == {"a": 1}

    async def test_replace_at_a_revision(self, database: ConfigDatabase) -> None:
        created = await database.kv_replace("t", "k", {"a": 1}, expected_revision=0)
        with pytest.raises(RevisionConflictError) as refusal:
            await database.kv_replace("t", "k", {"a": 2}, expected_revision=0)
        assert (refusal.value.expected, refusal.value.actual) == (0, created.revision)
        put = await database.kv_put("t", "k", {"b": 1})
        with pytest.raises(RevisionConflictError):
            await database.kv_replace("t", "k", {"a": 2}, expected_revision=created.revision)
        await database.kv_put("t", "other", {"a": 1})
        await database.kv_replace("t", "k", {"a": 3}, expected_revision=put.revision)
        assert await database.kv_get("t", "k") == {"a": 3}
        await database.kv_delete("t", "k")
        with pytest.raises(RevisionConflictError) as refusal:
            await database.kv_replace("t", "k", {"a": 2}, expected_revision=put.revision)
        assert refusal.value.actual == 0
        await database.kv_replace("t", "k", {"a": 4}, expected_revision=0)

    async def test_one_of_several_conditional_writers_of_a_row_wins(
        self, database: ConfigDatabase, other: ConfigDatabase, harness: Harness
    ) -> None:
        revision = 0
        for _ in range(5):
            outcomes = await harness.outcomes(
                *(
                    client.kv_replace("t", "k", {"n": number}, expected_revision=revision)
                    for number, client in enumerate([database, other] * 3)
                )
            )
            winners = [number for number, (result, _) in enumerate(outcomes) if result]
            assert len(winners) == 1
            assert await database.kv_get("t", "k") == {"n": winners[0]}
            result, _ = outcomes[winners[0]]
            assert result is not None
            revision = result.revision

    async def test_list(self, database: ConfigDatabase) -> None:
        keys = ["b", "a", "10", "9", "B", "ü", "a:b", "名"]
        for key in keys:
            await database.kv_put("t", key, {"key": key, "n": 1})
        await database.kv_put("other", "x", {"a": 1})
        page = await database.kv_list("t")
        assert page.items == [(key, {"key": key, "n": 1}) for key in sorted(keys)]
        assert page.marker is None
        assert (await database.kv_list("nothing")).items == []

    @pytest.mark.parametrize("limit", [1, 2, 3, 6, 7])
    async def test_list_pages(self, database: ConfigDatabase, limit: int) -> None:
        keys = [f"key:{number}" for number in range(6)]
        for key in reversed(keys):
            await database.kv_put("t", key, {"a": 1})
        seen: list[str] = []
        marker: str | None = None
        while True:
            page = await database.kv_list("t", marker=marker, limit=limit)
            assert 1 <= len(page) <= limit
            seen += [key for key, _ in page]
            assert (page.marker is None) == (len(seen) == 6)
            if page.marker is None:
                break
            marker = page.marker
        assert seen == keys

    @pytest.mark.parametrize("argument", [{"limit": 0}, {"limit": "5"}, {"marker": "x"}], ids=str)
    async def test_bad_page_is_refused(self, database: ConfigDatabase, argument: Any) -> None:
        with pytest.raises(InvalidRequestError):
            await database.kv_list("t", **argument)

    @pytest.mark.parametrize(
        ("table", "key", "columns"),
        [
            ("", "k", {"a": 1}),
            ("t", "", {"a": 1}),
            ("x" * 256, "k", {"a": 1}),
            ("t", "é" * 128, {"a": 1}),
            ("t", "k\0", {"a": 1}),
            ("t", 5, {"a": 1}),
            ("t", "k", {}),
            ("t", "k", None),
            ("t", "k", {"": 1}),
            ("t", "k", {5: 1}),
            ("t", "k", {"a": b"bytes"}),
            ("t", "k", {"a": float("inf")}),
        ],
        ids=lambda value: str(value)[:12],
    )
    async def test_bad_row_is_refused(
        self, database: ConfigDatabase, table: Any, key: Any, columns: Any
    ) -> None:
        for call in (database.kv_put, database.kv_replace):
            with pytest.raises(InvalidRequestError):
                await call(table, key, columns)
        assert (await database.kv_list("t")).items == []

    async def test_columns_belong_to_the_caller(self, database: ConfigDatabase) -> None:
        columns: dict[str, Json] = {"a": {"x": [1]}}
        await database.kv_put("t", "k", columns)
        columns["a"]["x"].append(2)
        read = await database.kv_get("t", "k")
        read["a"]["x"].append(3)
        assert await database.kv_get("t", "k") == {"a": {"x": [1]}}

    async def test_rows_give_no_change(
        self, database: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        async with database.watch() as changes:
            result = await database.kv_put("t", "k", {"a": 1})
            await database.kv_replace("t", "k", {"b": 1})
            await database.kv_delete("t", "k")
            tag = await site.tag()
            (change,) = await distinct_changes(database, harness, changes, 1)
        assert change.uuid == tag
        assert result.revision < change.revision
