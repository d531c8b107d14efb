"""The kit leaves nothing out: no skip, every method, every guarantee, every class."""

import ast
import pkgutil
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

import asyncbackends.testing.config_database as kit
from asyncbackends.batch import Batch
from asyncbackends.protocols.backend import Kind
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.testing import ConfigDatabaseConformance
from asyncbackends.testing.config_database.every_call import EVERY_CALL
from asyncbackends.testing.config_database.every_write import EVERY_WRITE
from tests.kit.guarantees_of import GUARANTEES_OF

FOLDER = Path(kit.__path__[0])
MODULES = sorted(module.name for module in pkgutil.iter_modules(kit.__path__))
# They open, or drive: they are not asked by a test.
NOT_TESTS = {"every_call", "every_write", "fixtures", "other_process", "sample"}


def tree_of(module: str) -> ast.Module:
    return ast.parse(FOLDER.joinpath(f"{module}.py").read_text("utf-8"))


def attributes_of(modules: list[str]) -> set[str]:
    return {
        node.attr
        for module in modules
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Attribute)
    }


def methods_of(contract: type) -> list[str]:
    return [
        name
        for name in dir(contract)
        if not name.startswith("_") and callable(getattr(contract, name, None))
    ]


def names_of_tests(cls: type) -> list[str]:
    return [name for name in vars(cls) if name.startswith("test_")]


@pytest.mark.promise("kit.nothing-is-skipped")
@pytest.mark.parametrize("module", MODULES)
def test_kit_skips_nothing(module: str) -> None:
    names = {
        getattr(node, "attr", None) or getattr(node, "id", None)
        for node in ast.walk(tree_of(module))
    }
    assert names & {"skip", "skipif", "xfail", "importorskip", "exit"} == set()


@pytest.mark.promise("kit.nothing-is-skipped")
@pytest.mark.parametrize("module", sorted({*MODULES} - {"other_process"}))
def test_tests_know_no_event_loop(module: str) -> None:
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or "", *(one.name for one in node.names)]
    }
    assert imported & {"asyncio", "anyio", "time", "threading"} == set()


@pytest.mark.promise("kit.every-method-is-tested")
@pytest.mark.parametrize("method", methods_of(ConfigDatabase))
def test_every_method_of_the_protocol_is_called(method: str) -> None:
    assert method in attributes_of([name for name in MODULES if name not in NOT_TESTS])


@pytest.mark.promise("kit.every-method-is-tested")
@pytest.mark.parametrize("method", methods_of(Batch))
def test_every_method_of_a_batch_is_called(method: str) -> None:
    assert method in attributes_of(["batches"])


@pytest.mark.promise("kit.every-method-is-tested")
def test_tables_of_calls_are_complete() -> None:
    lifecycle = {"connect", "shutdown", "states"}
    assert {*methods_of(ConfigDatabase)} - lifecycle == {*EVERY_CALL}
    written = {write.name.partition("-")[0] for write in EVERY_WRITE}
    assert {*methods_of(Batch)} - written == set()


@pytest.mark.promise("kit.every-method-is-tested")
@pytest.mark.parametrize("guarantee", sorted(GUARANTEES_OF[Kind.CONFIG_DATABASE]))
def test_every_guarantee_is_asked_for(guarantee: Guarantee) -> None:
    kinds = {"_".join(name.split("_")[1:]) for name in dir(ConfigDatabaseConformance)}
    assert guarantee.value in kinds or guarantee.name in attributes_of(MODULES)


def test_every_class_of_tests_is_part_of_the_whole() -> None:
    mixins = [
        getattr(module, name)
        for module in (import_module(f"{kit.__name__}.{name}") for name in MODULES)
        for name in module.__all__
        if name.endswith("Conformance")
    ]
    assert [mixin for mixin in mixins if not issubclass(ConfigDatabaseConformance, mixin)] == []
    # A name that two of them define would hide one test.
    names = Counter(name for mixin in mixins for name in names_of_tests(mixin))
    assert [name for name, count in names.items() if count > 1] == []
    assert len(names) > 300
