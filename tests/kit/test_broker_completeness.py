"""The kit of the message broker leaves nothing out: no skip, every method, every guarantee."""

import ast
import pkgutil
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

import asyncbackends.testing.message_broker as kit
from asyncbackends.broker.delivery import Delivery
from asyncbackends.protocols.backend import Kind
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.message_broker import MessageBroker, Subscription
from asyncbackends.protocols.messages import Death, QueueOptions, Receipt, SubscribeOptions
from asyncbackends.testing import MessageBrokerConformance, MessageBrokerFaultsConformance
from asyncbackends.testing.message_broker.every_call import EVERY_CALL
from asyncbackends.testing.message_broker.link_faults import LinkFaults
from tests.kit.guarantees_of import GUARANTEES_OF

FOLDER = Path(kit.__path__[0])
MODULES = sorted(module.name for module in pkgutil.iter_modules(kit.__path__))
# They open, or drive: they are not asked by a test.
NOT_TESTS = {"every_call", "fixtures", "link_faults", "other_process", "sample"}
TESTS = [name for name in MODULES if name not in NOT_TESTS]


def tree_of(module: str) -> ast.Module:
    return ast.parse(FOLDER.joinpath(f"{module}.py").read_text("utf-8"))


def words_of(modules: list[str]) -> set[str]:
    """Give all attributes and the names of all arguments."""
    nodes = [node for module in modules for node in ast.walk(tree_of(module))]
    return {
        *(node.attr for node in nodes if isinstance(node, ast.Attribute)),
        *(node.arg for node in nodes if isinstance(node, ast.keyword) and node.arg is not None),
    }


def members_of(contract: type) -> list[str]:
    return [name for name in dir(contract) if not name.startswith("_")]


def arguments_of(contract: type) -> set[str]:
    return {
        name
        for member in members_of(contract)
        for name in getattr(getattr(contract, member), "__annotations__", {})
    } - {"return", "message", "params"}


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
@pytest.mark.parametrize(
    ("contract", "member"),
    [
        (contract, member)
        for contract in (MessageBroker, Subscription, Receipt, Delivery)
        for member in members_of(contract)
    ],
)
def test_every_member_of_the_protocols_is_asked_for(contract: type, member: str) -> None:
    engine_side = {"incoming", "settled", "items", "keys", "values"}
    assert member in words_of(TESTS) or member in engine_side, contract


@pytest.mark.promise("kit.every-method-is-tested")
@pytest.mark.parametrize("argument", sorted(arguments_of(MessageBroker)))
def test_every_argument_is_given(argument: str) -> None:
    positional = {"exchange_name", "queue"}
    assert argument in words_of(TESTS) or argument in positional


@pytest.mark.promise("kit.every-method-is-tested")
@pytest.mark.parametrize(
    ("values", "field"),
    [
        (values, field)
        for values in (QueueOptions, SubscribeOptions, Death)
        for field in values.__struct_fields__
    ],
)
def test_every_option_is_used(values: type, field: str) -> None:
    # A private queue outlives a loss of the link; how long, only another clock could tell.
    strings = {
        node.value
        for module in TESTS
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert field in words_of(TESTS) | strings, values


@pytest.mark.promise("kit.every-method-is-tested")
def test_table_of_calls_is_complete() -> None:
    lifecycle = {"connect", "shutdown", "states", "engine", "guarantees", "limits", "state"}
    assert {*members_of(MessageBroker)} - lifecycle == {*EVERY_CALL}


@pytest.mark.promise("kit.every-method-is-tested")
@pytest.mark.parametrize("guarantee", sorted(GUARANTEES_OF[Kind.MESSAGE_BROKER]))
def test_every_guarantee_of_a_broker_is_asked_for(guarantee: Guarantee) -> None:
    asked = {*dir(MessageBrokerConformance), *dir(MessageBrokerFaultsConformance)}
    assert f"test_{guarantee.value}" in asked


@pytest.mark.promise("kit.every-method-is-tested")
@pytest.mark.parametrize("fault", members_of(LinkFaults))
def test_every_fault_is_made(fault: str) -> None:
    assert fault in words_of(TESTS) or fault == "clear"


def test_every_class_of_tests_is_part_of_the_whole() -> None:
    mixins: list[type] = [
        getattr(module, name)
        for module in (import_module(f"{kit.__name__}.{name}") for name in MODULES)
        for name in module.__all__
        if name.endswith("Conformance")
    ]
    wholes = (MessageBrokerConformance, MessageBrokerFaultsConformance)
    assert [mixin for mixin in mixins if not any(issubclass(one, mixin) for one in wholes)] == []
    # A name that two of them define would hide one test.
    names = Counter(name for mixin in mixins for name in vars(mixin) if name.startswith("test_"))
    assert [name for name, count in names.items() if count > 1] == []
    assert len(names) > 200
