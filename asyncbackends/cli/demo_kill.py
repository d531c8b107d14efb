"""The step of the demo in which a writer dies in the middle of a batch."""

import asyncio
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, runtime_checkable

from asyncbackends.cli.demo_guest import ENTRY, Guest, entry_name, entry_uuid
from asyncbackends.cli.demo_stage import Stage
from asyncbackends.cli.demo_writer import ACKNOWLEDGED, FAILED, SENDING, write_batch
from asyncbackends.errors import BackendError, ConnectionLostError
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.guarantees import Guarantee

__all__ = ("SupportsFaults", "show_kill")

SIZE: Final = 100
KILLED_AT: Final = 5
"""The batch that the writer is killed in."""
PATIENCE: Final = 15.0


@runtime_checkable
class SupportsFaults(Protocol):
    """An engine that fails on demand."""

    @property
    def faults(self) -> Any:
        """The switchboard."""
        ...


async def show_kill(
    stage: Stage, guest: Guest, conf_files: Sequence[str], environment: Mapping[str, str]
) -> None:
    """Kill a writer and look at what is there."""
    database = stage.database
    atomic = Guarantee.ATOMIC_BATCH in database.guarantees
    what = f"of {SIZE} objects" if atomic else f"of {SIZE} operations on one object"
    guest.entries += [
        entry_uuid(guest.run, batch, number)
        for batch in range(1, KILLED_AT + 1)
        for number in range(SIZE if atomic else 1)
    ]
    with stage.step("A writer dies in the middle of a batch"):
        if Guarantee.SHARED_BETWEEN_PROCESSES in database.guarantees:
            sent, acknowledged, problem = await _killed(guest, conf_files, environment)
            if problem is not None:
                stage.prove(f"the writer could not write: {problem}", holds=False)
                return
            stage.say(
                f"a process writes batches {what}; SIGKILL hits it while it sends batch {sent}"
            )
        elif isinstance(database, SupportsFaults):
            sent, acknowledged = await _failed(database, guest)
            stage.say("no other process shares this database, so the fault switchboard cuts a")
            stage.say(f"batch {what} off at write {SIZE // 2}; it is batch {sent}")
        else:
            stage.say("no other process can share this database: there is nobody to kill")
            return
        there = [await _there(database, guest.run, batch) for batch in range(1, sent + 1)]
        stage.prove(
            f"all {acknowledged} acknowledged batches are there: {there[:acknowledged]}",
            holds=there[:acknowledged] == [SIZE] * acknowledged,
        )
        last = f"of batch {sent} there are {there[-1]} of {SIZE}: nothing is half-written"
        stage.prove(last, holds=all(count in {0, SIZE} for count in there[acknowledged:]))


async def _killed(
    guest: Guest, conf_files: Sequence[str], environment: Mapping[str, str]
) -> tuple[int, int, str | None]:
    """Run the writer until it sends a certain batch, and kill it."""
    files = [part for path in conf_files for part in ("--conf-file", path)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "asyncbackends.cli.demo_writer"),
        *(*files, "--run", guest.run, "--size", str(SIZE)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=dict(environment),
    )
    sent = acknowledged = 0
    problem: str | None = "it said nothing"
    try:
        async with asyncio.timeout(PATIENCE):
            while process.stdout is not None and (line := await process.stdout.readline()):
                word, _, rest = line.decode().strip().partition(" ")
                if word == FAILED:
                    problem = rest
                elif word == ACKNOWLEDGED:
                    acknowledged = int(rest)
                elif word == SENDING:
                    sent, problem = int(rest), None
                    if sent == KILLED_AT:
                        break
    except TimeoutError:
        problem = f"it did not come to batch {KILLED_AT} within {PATIENCE:g} s"
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        # What it wrote before it died, an acknowledgement perhaps, counts too.
        rest_of_it, _ = await process.communicate()
    if f"{ACKNOWLEDGED} {sent}" in rest_of_it.decode().splitlines():
        acknowledged = sent
    return sent, acknowledged, problem


async def _failed(database: SupportsFaults, guest: Guest) -> tuple[int, int]:
    """Write some batches, and let the last fail in its middle."""
    acknowledged = 0
    for batch in range(1, KILLED_AT + 1):
        if batch == KILLED_AT:
            error = ConnectionLostError("the fault switchboard cut the writer off")
            database.faults.fail_next(error, operation="batch", at_write=SIZE // 2)
        try:
            await write_batch(guest.database, guest.run, batch, SIZE)
            acknowledged = batch
        except BackendError:
            break
    return KILLED_AT, acknowledged


async def _there(database: ConfigDatabase, run: str, batch: int) -> int:
    """Count the parts of a batch that are there."""
    if Guarantee.ATOMIC_BATCH in database.guarantees:
        names = [entry_name(run, batch, number) for number in range(SIZE)]
        return len(await database.fq_names_to_uuids(ENTRY, names))
    found = await database.object_read(ENTRY, [entry_uuid(run, batch, 0)], missing="skip")
    return 1 + len(found[0].get("steps", ())) if found else 0
