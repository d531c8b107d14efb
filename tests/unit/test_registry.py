"""The registry: engines are found by name, and what is wrong is said with its cure."""

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest

from asyncbackends import registry
from asyncbackends.errors import (
    ConfigurationError,
    EngineUnavailableError,
    UnknownEngineError,
)
from asyncbackends.opening import open_config_database
from asyncbackends.options import DatabaseOptions
from asyncbackends.protocols.backend import Kind
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.registry import Engine, find_engine, installed_engines, load_driver, resolve
from asyncbackends.settings import settings_from

pytestmark = pytest.mark.promise("registry.finds-engines")

DATABASE = Kind.CONFIG_DATABASE


class Owner:
    def __init__(self, name: str) -> None:
        self.name = name


def entry(name: str, value: str, owner: str) -> EntryPoint:
    found = EntryPoint(name, value, "asyncbackends.config_database")
    found._for(Owner(owner))  # type: ignore[attr-defined]  # as importlib.metadata does
    return found


def giving(entries: list[EntryPoint]) -> Callable[..., list[EntryPoint]]:
    def entry_points(**_: object) -> list[EntryPoint]:
        return entries

    return entry_points


def engine(load: Callable[[], Any], kind: Kind = DATABASE) -> Engine[Any, Any]:
    return Engine(kind, "sample", DatabaseOptions, load, frozenset({Guarantee.ATOMIC_BATCH}))


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module with engines, as somebody's own file."""
    module = ModuleType("sample_engines")
    monkeypatch.setitem(sys.modules, "sample_engines", module)

    def no_driver() -> Any:
        raise ModuleNotFoundError("No module named 'mongo'")  # as Python says it

    def create(endpoints: Sequence[str], options: DatabaseOptions) -> Any:
        return tuple(endpoints), options

    module.__dict__.update(
        good=engine(lambda: create),
        without_driver=engine(no_driver),
        broker=engine(no_driver, Kind.MESSAGE_BROKER),
        number=5,
    )
    return module


def settings(name: str, **more: Any) -> Any:
    return settings_from({"DATABASE": {"engine": name, **more}})


def test_installed_engines_have_entry_points() -> None:
    assert {"memory", "sqlite"} <= {*installed_engines(DATABASE)}
    found = find_engine(DATABASE, "memory")
    assert (found.kind, found.name) == (DATABASE, "memory")
    assert Guarantee.ATOMIC_BATCH in found.guarantees


def test_unknown_engine_names_the_installed_and_the_nearest() -> None:
    with pytest.raises(UnknownEngineError) as refusal:
        find_engine(DATABASE, "memroy")
    message = str(refusal.value)
    assert "no config database engine is named 'memroy'; did you mean 'memory'?" in message
    assert "memory, mysql, postgres, sqlite" in message


def test_extra_of_an_engine_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Metadata:
        def get_all(self, _: str) -> list[str]:
            return ["cassandra", "testing"]

    def metadata(_: str) -> Metadata:
        return Metadata()

    monkeypatch.setattr(registry, "metadata", metadata)
    with pytest.raises(UnknownEngineError, match=r'pip install "asyncbackends\[cassandra\]"'):
        find_engine(DATABASE, "cassandra")


def test_unknown_engine_names_where_it_was_chosen() -> None:
    with pytest.raises(UnknownEngineError, match=r"settings \[DATABASE\] engine: no config"):
        resolve(DATABASE, settings("oracle"))


def test_two_owners_of_one_name_are_both_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [entry("mongo", "a:engine", "dist-a"), entry("mongo", "b:engine", "dist-b")]
    monkeypatch.setattr(registry, "entry_points", giving(found))
    with pytest.raises(ConfigurationError) as refusal:
        installed_engines(DATABASE)
    for part in ("dist-a (a:engine)", "dist-b (b:engine)", "'mongo'"):
        assert part in str(refusal.value)


def test_one_distribution_seen_twice_is_one_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [entry("mongo", "a:engine", "dist-a"), entry("mongo", "a:engine", "dist-a")]
    monkeypatch.setattr(registry, "entry_points", giving(found))
    assert list(installed_engines(DATABASE)) == ["mongo"]


def test_module_and_attribute_name_an_engine(sample: ModuleType) -> None:
    resolved = resolve(
        DATABASE,
        settings(
            "sample_engines:good",
            endpoints="a, b",
            operation_timeout=2,
            require="atomic_batch",
            sample={"namespace": "own"},
        ),
    )
    assert resolved.engine is sample.good
    assert resolved.require == {Guarantee.ATOMIC_BATCH}
    endpoints, options = resolved.backend()
    assert endpoints == ("a", "b")
    assert (options.operation_timeout, options.namespace) == (2.0, "own")


@pytest.mark.parametrize(
    "name", ["no_such_module:engine", "sample_engines:absent", "sample_engines.deep:x"]
)
def test_adapter_that_cannot_be_imported(sample: ModuleType, name: str) -> None:
    assert sample
    with pytest.raises(EngineUnavailableError, match=f"'{name}' cannot be imported"):
        find_engine(DATABASE, name)


@pytest.mark.parametrize("name", ["sample_engines:number", "sample_engines:broker"])
def test_what_is_no_engine_of_the_kind(sample: ModuleType, name: str) -> None:
    assert sample
    with pytest.raises(ConfigurationError, match=f"{name} is not a config database engine"):
        find_engine(DATABASE, name)


def test_missing_driver_names_the_extra(
    sample: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EngineUnavailableError) as refusal:
        load_driver(sample.without_driver)
    message = str(refusal.value)
    assert "No module named 'mongo'" in message
    assert 'pip install "asyncbackends[sample]"' in message
    own = [entry("sample", "sample_engines:without_driver", "asyncbackends-sample")]
    monkeypatch.setattr(registry, "entry_points", giving(own))
    with pytest.raises(EngineUnavailableError, match=r"asyncbackends-sample\[sample\]"):
        load_driver(sample.without_driver)


async def test_opening_checks_before_it_connects(sample: ModuleType) -> None:
    assert sample
    with pytest.raises(ConfigurationError, match="'operation_timeout'"):
        open_config_database(engine="memory", operation_timout=5)
    opener = open_config_database(engine="memory", endpoints="registry-test")
    async with opener as database:
        assert database.engine == "memory"
    with pytest.raises(ConfigurationError, match="opens once"):
        async with opener:
            pass
