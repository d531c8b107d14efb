"""The kits of coordination and recipes leave nothing out: no skip, every method, every class."""

import ast
import pkgutil
from collections import Counter
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import asyncbackends.testing.coordination as coordination_kit
import asyncbackends.testing.recipes as recipes_kit
from asyncbackends.protocols.backend import Kind
from asyncbackends.protocols.coordination import (
    DistributedCoordinationService,
    Session,
    SessionState,
    Transaction,
)
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.recipes import Election, Group, Held, Lock, Membership, Term
from asyncbackends.testing.coordination.every_call import EVERY_CALL
from asyncbackends.testing.coordination.every_write import EVERY_WRITE
from asyncbackends.testing.coordination.fixtures import SessionFaults
from tests.conformance.proofs import BY_CLASS, BY_TEST
from tests.kit.guarantees_of import GUARANTEES_OF

KITS: dict[str, ModuleType] = {"coordination": coordination_kit, "recipes": recipes_kit}
MODULES = [
    (kit, module.name) for kit in KITS for module in pkgutil.iter_modules(KITS[kit].__path__)
]
# They open, or drive: they are not asked by a test.
NOT_TESTS = {
    "every_call",
    "every_write",
    "feeds",
    "fixtures",
    "in_line",
    "lock_histories",
    "other_process",
}


def tree_of(kit: str, module: str) -> ast.Module:
    folder = Path(KITS[kit].__path__[0])
    return ast.parse(folder.joinpath(f"{module}.py").read_text("utf-8"))


def attributes_of(kit: str) -> set[str]:
    """The attributes that the tests of a kit name."""
    return {
        node.attr
        for of, module in MODULES
        if of == kit and module not in NOT_TESTS
        for node in ast.walk(tree_of(kit, module))
        if isinstance(node, ast.Attribute)
    }


def members_of(contract: type) -> list[str]:
    """What users may ask: methods and properties of our own."""
    return [
        name for name in dir(contract) if not name.startswith("_") and not hasattr(Exception, name)
    ]


def classes_of(kit: str) -> dict[str, type]:
    """The classes of tests of a kit."""
    found: dict[str, type] = {}
    for of, name in MODULES:
        module: Any = import_module(f"{KITS[kit].__name__}.{name}") if of == kit else None
        names: tuple[str, ...] = getattr(module, "__all__", ())
        found |= {one: getattr(module, one) for one in names if one.endswith("Conformance")}
    return found


@pytest.mark.promise("kit.nothing-is-skipped")
@pytest.mark.parametrize(("kit", "module"), MODULES)
def test_kit_skips_nothing(kit: str, module: str) -> None:
    names = {
        getattr(node, "attr", None) or getattr(node, "id", None)
        for node in ast.walk(tree_of(kit, module))
    }
    assert names & {"skip", "skipif", "xfail", "importorskip", "exit"} == set()


@pytest.mark.promise("kit.nothing-is-skipped")
@pytest.mark.parametrize(("kit", "module"), [one for one in MODULES if one[1] != "other_process"])
def test_tests_know_no_event_loop(kit: str, module: str) -> None:
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree_of(kit, module))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or "", *(one.name for one in node.names)]
    }
    assert imported & {"asyncio", "anyio", "time", "threading"} == set()


@pytest.mark.promise("kit.every-method-is-tested")
@pytest.mark.parametrize(
    ("kit", "contract"),
    [
        ("coordination", DistributedCoordinationService),
        ("coordination", Transaction),
        ("coordination", Session),
        ("coordination", SessionFaults),
        ("recipes", Lock),
        ("recipes", Held),
        ("recipes", Election),
        ("recipes", Term),
        ("recipes", Group),
        ("recipes", Membership),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_every_method_is_called(kit: str, contract: type) -> None:
    # ``claimed`` and ``give_up`` are what release() and resign() are made of.
    inner = {"claimed", "give_up", "capabilities_of"}
    assert {*members_of(contract)} - inner - attributes_of(kit) == set()


@pytest.mark.promise("kit.every-method-is-tested")
@pytest.mark.parametrize("state", [*SessionState])
def test_every_state_of_a_session_is_met(state: SessionState) -> None:
    assert state.name in attributes_of("coordination")


@pytest.mark.promise("kit.every-method-is-tested")
def test_tables_of_calls_are_complete() -> None:
    methods = {
        name
        for name in members_of(DistributedCoordinationService)
        if callable(getattr(DistributedCoordinationService, name))
    }
    assert methods - {"connect", "shutdown", "states"} == {*EVERY_CALL}
    writes = {"create_node", "update_node", "delete_node", "transaction", "contend", "withdraw"}
    assert {write.operation for write in EVERY_WRITE} == writes


@pytest.mark.promise("kit.every-method-is-tested")
@pytest.mark.parametrize("guarantee", sorted(GUARANTEES_OF[Kind.COORDINATION]))
def test_every_guarantee_has_a_test_by_its_name(guarantee: Guarantee) -> None:
    assert hasattr(coordination_kit.CoordinationConformance, f"test_{guarantee.value}")
    assert guarantee.name in attributes_of("coordination")


@pytest.mark.parametrize(
    ("kit", "wholes"),
    [
        (
            "coordination",
            (
                coordination_kit.CoordinationConformance,
                coordination_kit.CoordinationFaultsConformance,
            ),
        ),
        ("recipes", (recipes_kit.RecipesConformance, recipes_kit.RecipesFaultsConformance)),
    ],
)
def test_every_class_of_tests_is_part_of_a_whole(kit: str, wholes: tuple[type, ...]) -> None:
    classes = classes_of(kit)
    for name, cls in classes.items():
        assert any(issubclass(whole, cls) for whole in wholes), name
        assert name in BY_CLASS or name in {
            # What each of their tests proves stands by its name.
            "CoordinationGuaranteesConformance",
            # An engine that no other process shares proves nothing by them.
            "CoordinationProcessesConformance",
            "KilledHoldersConformance",
        }
    # A name that two of them define would hide one test, or what a test needs.
    fixtures = {*dir(coordination_kit.FaultFixtures)}
    names = Counter(name for cls in classes.values() for name in vars(cls) if name not in fixtures)
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("kit", list(KITS))
def test_what_is_said_to_be_proven_by_a_test_has_that_test(kit: str) -> None:
    tests = {name for cls in classes_of(kit).values() for name in vars(cls)}
    assert {*BY_TEST[kit]} - tests == set()


def test_kits_are_large() -> None:
    tests = [
        name
        for kit in KITS
        for cls in classes_of(kit).values()
        for name in vars(cls)
        if name.startswith("test_")
    ]
    assert len(tests) > 180
