"""What the runs recorded about the promises: one JSON file per Python, length and server set."""

import fcntl
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

__all__ = ("FOLDER", "Proof", "Results", "Verdict", "judge", "merge", "read_all")

FOLDER = Path(".promises")


class Proof(TypedDict):
    """How one test ended."""

    outcome: str
    figures: list[str]


# Promise id -> cell -> test id -> how it ended.
Results = dict[str, dict[str, dict[str, Proof]]]


@dataclass(frozen=True)
class Verdict:
    """What all records together say about one cell."""

    word: str
    figures: tuple[str, ...] = ()
    blame: tuple[str, ...] = ()


def merge(path: Path, found: Results) -> None:
    """Put a run's results over what is recorded; leaving a test out does not undo its result."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        # Runs side by side, and the processes of one, have the same record.
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = file.read()
        results: Results = json.loads(text) if text else {}
        _put(found, results)
        file.truncate(0)
        file.write(json.dumps(results, indent=1, sort_keys=True))


def _put(found: Results, results: Results) -> None:
    for promise, cells in found.items():
        for cell, proofs in cells.items():
            recorded = results.setdefault(promise, {}).setdefault(cell, {})
            for test, proof in proofs.items():
                if proof["outcome"] != "deselected" or test not in recorded:
                    recorded[test] = proof


def read_all(folder: Path, lengths: Iterable[str]) -> list[Results]:
    """Read the records of every Python and server set, for these lengths."""
    return [_read(path) for length in lengths for path in sorted(folder.glob(f"*-{length}*.json"))]


def judge(promise: str, cell: str, records: Iterable[Results]) -> Verdict:
    """Judge a cell: each of its tests must have passed somewhere and failed nowhere."""
    outcomes: dict[str, set[str]] = {}
    figures: dict[str, None] = {}
    for results in records:
        for test, proof in results.get(promise, {}).get(cell, {}).items():
            outcomes.setdefault(test, set()).add(proof["outcome"])
            figures |= dict.fromkeys(proof["figures"])
    failed = [test for test, seen in outcomes.items() if "failed" in seen]
    unproven = [
        f"{test} ({', '.join(sorted(seen))})"
        for test, seen in outcomes.items()
        if "passed" not in seen
    ]
    if failed:
        return Verdict("FAILED", tuple(figures), tuple(failed))
    if unproven or not outcomes:
        return Verdict("MISSING", tuple(figures), tuple(unproven) or ("no test ran",))
    return Verdict("passed", tuple(figures))


def _read(path: Path) -> Results:
    results: Results = json.loads(path.read_text("utf-8"))
    return results
