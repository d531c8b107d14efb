"""The rules of the house that no linter knows: file sizes, file names, ignores, engine names.

``python -m tests.house_rules`` prints notes and breaches, and exits 1 if there is a breach.
"""

import ast
import re
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ("asyncbackends", "adapters", "compat", "services")
OTHERS = ("tests", "docs", "noxfile.py")
SOFT_LIMIT = 250
HARD_LIMIT = 400
HARD_LIMIT_OF_TESTS = 500
VAGUE_NAMES = {"utils", "helpers", "common", "base", "manager"}
IGNORE = re.compile(r"#\s*(type:\s*ignore|pyright:\s*ignore|noqa|(ruff|flake8):\s*noqa)\b")
CODED_IGNORE = re.compile(
    r"#\s*(type:\s*ignore\[[\w\-, ]+\]|pyright:\s*ignore\[[\w\-, ]+\]"
    r"|((ruff|flake8):\s*)?noqa:\s*[A-Z]+[0-9]+(\s*,\s*[A-Z]+[0-9]+)*)(?P<reason>.*)"
)


def main() -> int:
    """Print notes and breaches of every Python file."""
    entry_points = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
        "entry-points"
    ]
    engines = {name for group in entry_points.values() for name in group}
    breaches: list[str] = []
    for path in sorted(_files(*SOURCES, *OTHERS)):
        name = path.relative_to(ROOT)
        is_source = name.parts[0] in SOURCES
        limit = HARD_LIMIT if is_source else HARD_LIMIT_OF_TESTS
        lines = len(path.read_text("utf-8").splitlines())
        if lines > limit:
            breaches.append(f"{name}: {lines} lines, the limit is {limit}")
        elif is_source and lines > SOFT_LIMIT:
            print(f"note: {name}: {lines} lines, should it be two files?")
        if path.stem.strip("_") in VAGUE_NAMES:
            breaches.append(f"{name}: the name does not say what is in it")
        breaches += [
            f"{name}:{line}: an ignore needs code and reason" for line in bare_ignores(path)
        ]
        if is_source:
            breaches += [
                f"{name}:{line}: asks for an engine's name; ask for a guarantee or a Protocol"
                for line in engine_questions(path, engines)
            ]
    breaches += _unknown_to_import_linter()
    print(*breaches, sep="\n", file=sys.stderr)
    print(f"house rules: {len(breaches)} breaches")
    return 1 if breaches else 0


def _files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        path = ROOT / folder
        yield from [path] if path.is_file() else path.rglob("*.py")


def bare_ignores(path: Path) -> Iterator[int]:
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type != tokenize.COMMENT or not IGNORE.search(token.string):
                continue
            coded = CODED_IGNORE.search(token.string)
            if coded is None or not re.search(r"\w{3}", coded["reason"]):
                yield token.start[0]


def engine_questions(path: Path, engines: set[str]) -> Iterator[int]:
    """Find ``engine == "memory"``, ``in``, ``match``: whatever holds an engine's name to a subject."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        sides: list[ast.expr | ast.pattern]
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.Match):
            sides = [node.subject, *(case.pattern for case in node.cases)]
        else:
            continue
        parts = [part for side in sides for part in ast.walk(side)]
        constants = {part.value for part in parts if isinstance(part, ast.Constant)}
        names = [part.id for part in parts if isinstance(part, ast.Name)]
        names += [part.attr for part in parts if isinstance(part, ast.Attribute)]
        if constants & engines and any("engine" in name for name in names):
            yield node.lineno


def _unknown_to_import_linter() -> list[str]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    packages = [
        path.name for folder in SOURCES[1:] for path in (ROOT / folder).glob("asyncbackends_*")
    ]
    return [
        f"{name}: [tool.importlinter] does not hold its arrows"
        for name in sorted({*packages} - {*config["root_packages"]})
    ]


if __name__ == "__main__":
    raise SystemExit(main())
