"""What the entry points of this distribution name."""

from importlib.metadata import EntryPoint

import pytest

from asyncbackends.registry import Engine
from tests.engines import engine_entries


@pytest.mark.parametrize("entry", engine_entries(), ids=lambda entry: entry.value)
def test_entry_point_names_the_engine_also_after_its_driver_is_loaded(entry: EntryPoint) -> None:
    """A submodule of the same name would take the engine's place in the package."""
    engine = entry.load()
    assert isinstance(engine, Engine)
    engine.load()
    assert entry.load() is engine
    assert engine.name == entry.name
