"""Every public module says what is public in it: no name too many, none missing."""

import ast
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import asyncbackends


def public_modules(package: ModuleType) -> Iterator[str]:
    yield package.__name__
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not any(part.startswith("_") for part in module.name.split(".")):
            yield module.name


def defined_names(module: ModuleType) -> set[str]:
    """The functions and classes without underscore that the module's own source defines."""
    return {
        node.name
        for node in ast.parse(Path(module.__file__ or "").read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
    }


@pytest.mark.parametrize("name", sorted(public_modules(asyncbackends)))
def test_module_declares_exactly_its_public_names(name: str) -> None:
    module = import_module(name)
    declared = getattr(module, "__all__", None)
    assert declared is not None, f"{name} declares no __all__"
    assert len(set(declared)) == len(declared)
    assert [missing for missing in declared if not hasattr(module, missing)] == []
    assert defined_names(module) - {*declared} == set()
