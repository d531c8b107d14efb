"""The rules that no linter knows catch what they are there for."""

from pathlib import Path

import pytest

from tests.house_rules import bare_ignores, engine_questions

# Written in two parts: the linters need not obey them here.
TYPE, NOQA = "# type: ignore", "# noqa"


@pytest.mark.parametrize(
    ("comment", "is_bare"),
    [
        (TYPE, True),
        (f"{TYPE}[arg-type]", True),
        (f"{TYPE}[arg-type]  # the driver has no types", False),
        (NOQA, True),
        (f"{NOQA}: S603", True),
        (f"{NOQA}: S603, S607 - the command is ours", False),
        ("# pyright: ignore[reportUnknownMemberType] the driver has no types", False),
        ("# ruff: " + NOQA[2:], True),
        ("# nothing to ignore", False),
    ],
)
def test_ignore_needs_code_and_reason(tmp_path: Path, comment: str, is_bare: bool) -> None:
    path = tmp_path / "module.py"
    path.write_text(f"value = 1\nother = 2  {comment}\n", "utf-8")
    assert list(bare_ignores(path)) == ([2] if is_bare else [])


@pytest.mark.parametrize(
    ("code", "asks"),
    [
        ('if engine == "acme": pass', True),
        ('if db.engine in ("acme", "other"): pass', True),
        ('match db.engine_name:\n    case "acme": pass', True),
        ("if engine != name: pass", False),
        ('if word == "acme": pass', False),
        ('engine = "acme"', False),
    ],
)
def test_nobody_asks_for_an_engine_by_name(tmp_path: Path, code: str, asks: bool) -> None:
    path = tmp_path / "module.py"
    path.write_text(code, "utf-8")
    assert bool(list(engine_questions(path, {"acme"}))) is asks
