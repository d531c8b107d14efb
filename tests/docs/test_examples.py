"""Every example of README.md and docs/ runs, file by file, from top to bottom.

``python`` blocks of a file share one namespace, where ``await`` stands at top level; ``ini`` and
``toml`` blocks are written under the name that a comment before them gives; of ``console`` blocks
each ``$`` line runs. Comments before a block::

    <!-- file: site.conf -->        the name of an ini or toml block's file
    <!-- exit: 1 -->                a console block that ends with this code
    <!-- no-run: needs a server --> not run, and why
"""

import ast
import asyncio
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md"),
    *sorted(page for page in ROOT.glob("docs/**/*.md") if "_build" not in page.parts),
]
BLOCK = re.compile(
    r"(?P<comments>(?:^<!--.*?-->\n+)*)^```(?P<language>python|console|toml|ini)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
COMMENT = re.compile(r"<!-- (?P<key>file|exit|no-run): (?P<value>.+?) -->")
FENCE = re.compile(r"^[ >]*```(?P<language>[^`\s]+)", re.MULTILINE)
SHOWN_ONLY = {"text", "json", "sql"}
COMMANDS = ("asyncbackends ", "python ")


@dataclass(frozen=True)
class Example:
    """A block, where it starts, and what the comments before it say."""

    language: str
    text: str
    line: int
    said: dict[str, str]


def examples(page: Path) -> Iterator[Example]:
    content = page.read_text("utf-8")
    for block in BLOCK.finditer(content):
        said = {found["key"]: found["value"] for found in COMMENT.finditer(block["comments"])}
        line = content.count("\n", 0, block.start("text"))
        yield Example(block["language"], block["text"], line + 1, said)


def pages() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pages()
def test_no_example_escapes(page: Path) -> None:
    languages = [fence["language"] for fence in FENCE.finditer(page.read_text("utf-8"))]
    code = [name for name in languages if name not in SHOWN_ONLY and not name.startswith("{")]
    assert code == [example.language for example in examples(page)]


@pages()
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__example__"}
    # One event loop a page: what a block opens, a later one may use.
    with asyncio.Runner() as runner:
        for example in examples(page):
            if "no-run" in example.said:
                continue
            match example.language:
                case "python":
                    run_python(example, page, namespace, runner)
                case "console":
                    run_console(example)
                case _:
                    tmp_path.joinpath(example.said["file"]).write_text(example.text, "utf-8")


def run_python(
    example: Example, page: Path, namespace: dict[str, Any], runner: asyncio.Runner
) -> None:
    # The empty lines make a traceback point into the page.
    source = "\n" * (example.line - 1) + example.text
    code = compile(source, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, namespace)  # noqa: S307 - the pages are ours
    if inspect.iscoroutine(result):
        runner.run(result)


def run_console(example: Example) -> None:
    expected = int(example.said.get("exit", 0))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    lines = example.text.replace("\\\n", " ").splitlines()
    for command in (line.removeprefix("$ ") for line in lines if line.startswith("$ ")):
        assert command.startswith(COMMANDS), f"{command}: run it, or say no-run and why"
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == expected, f"{command}\n{done.stdout}{done.stderr}"
