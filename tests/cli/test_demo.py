"""``demo``: the whole story, on any engine, leaving nothing behind."""

import io
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyncbackends import (
    Fence,
    Guarantee,
    open_config_database,
    open_coordination,
    open_message_broker,
)
from asyncbackends.broker.delivery import Delivery
from asyncbackends.broker.wire_broker import WireBroker
from asyncbackends.cli import demo, demo_messages
from asyncbackends.cli.screen import Screen
from asyncbackends.errors import AccessDeniedError, ExchangeNotFoundError
from asyncbackends_memory import coordination_faults
from asyncbackends_memory.database import MemoryConfigDatabase
from asyncbackends_memory.messaging.wire import MemoryWire
from asyncbackends_memory.tree.service import MemoryCoordinationService
from tests.cli.conftest import Run
from tests.data.loads import DATA


def content(run: Run, conf: Path) -> str:
    """A database's objects, without header and schema."""
    return run("dump", "--conf-file", conf).out.split("\n", 1)[1]


def proofs(out: str) -> list[str]:
    return re.findall(r"^   (ok|BROKEN) ", out, re.MULTILINE)


PROOFS = 14

Play = Callable[..., Any]


@pytest.mark.promise("demo.whole-story", engines=["sqlite", "memory"])
def test_the_demo_needs_nothing_and_is_quick(run: Run, figure: Callable[[str], None]) -> None:
    began = time.monotonic()
    done = run("demo")
    seconds = time.monotonic() - began
    assert done.code == 0, done
    assert done.err == ""
    assert proofs(done.out) == ["ok"] * PROOFS
    assert "config database: sqlite in a temporary folder\n" in done.out
    assert "message broker: memory in this process\n" in done.out
    assert "coordination service: memory in this process\n" in done.out
    assert "3 damaged, reported and left out" in done.out
    assert "├─ project team-1" in done.out
    assert "RevisionConflictError" in done.out
    assert "the watch saw update at revision" in done.out
    assert "SIGKILL" in done.out
    assert "marked redelivered" in done.out
    assert "delivery_limit: ValueError: nobody knows how to POISON" in done.out
    assert "StaleFenceError" in done.out
    assert "all as promised" in done.out
    assert "\x1b" not in done.out
    assert seconds < 10
    figure(f"{seconds:.1f} s")


def totals(out: str) -> dict[str, int]:
    """The last table."""
    lines = out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("OBJECTS"))
    names = re.split(r"  +", lines[at])
    return dict(zip(names, map(int, lines[at + 1].split()), strict=True))


@pytest.mark.promise("demo.whole-story", engines=["memory"])
def test_on_memory_the_fault_switchboard_kills(run: Run, all_memory_conf: Path) -> None:
    done = run("demo", "--conf-file", all_memory_conf)
    assert done.code == 0, done
    assert proofs(done.out) == ["ok"] * PROOFS
    assert done.out.count("memory, as the settings say") == 3
    assert "the fault switchboard cuts a" in done.out
    assert "the fault switchboard makes the service forget it" in done.out
    # 27 loaded, 2 updates of one, 4 whole batches of 100, and the entry that is made last.
    assert totals(done.out) == {
        "OBJECTS": 27,
        "MESSAGES": 449,
        "REDELIVERED": 8,
        "DEAD LETTERS": 1,
        "ELECTIONS": 2,
    }
    steps = re.findall(r"^(\d)\. .*  +\d+\.\d{3}$", done.out, re.MULTILINE)
    assert steps == list("1234567")


def test_kinds_without_a_section_are_shown_on_an_engine_of_the_demo(
    run: Run, memory_conf: Path, tmp_path: Path
) -> None:
    done = run("demo", "--conf-file", memory_conf)
    assert done.code == 0, done
    assert "config database: memory, as the settings say" in done.out
    assert (
        "message broker: memory in this process; the settings have no [MESSAGE_BROKER]" in done.out
    )
    broker = tmp_path / "broker.toml"
    broker.write_text(
        f'[MESSAGE_BROKER]\nengine = "memory"\nendpoints = "{tmp_path.name}"', "utf-8"
    )
    done = run("demo", "--conf-file", broker)
    assert done.code == 0, done
    assert "sqlite in a temporary folder; the settings have no [DATABASE]" in done.out
    assert "message broker: memory, as the settings say" in done.out
    assert "SIGKILL" in done.out


def test_a_session_may_also_end_with_its_client(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(MemoryCoordinationService, "faults")
    done = run("demo")
    assert done.code == 0, done
    assert proofs(done.out) == ["ok"] * PROOFS
    assert "its client goes down, and its session ends" in done.out


def without(guarantee: Guarantee, kind: type[Any]) -> Callable[[pytest.MonkeyPatch], None]:
    """Let an engine not declare a guarantee."""
    declared = kind.guarantees.fget

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        less = property(lambda self: declared(self) - {guarantee})
        monkeypatch.setattr(kind, "guarantees", less)

    return patch


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        (
            without(Guarantee.FENCED_WRITES, MemoryConfigDatabase),
            "this database looks at no fence: what the first one writes now cannot be stopped",
        ),
        (
            without(Guarantee.FENCING_TOKENS, MemoryCoordinationService),
            "this coordination service gives no fencing tokens",
        ),
        (without(Guarantee.REDELIVERS_UNACKED, MemoryWire), "nobody crashes"),
        (without(Guarantee.ORDERED_PER_PUBLISHER, MemoryWire), "none is missing"),
    ],
)
def test_what_an_engine_does_not_promise_is_not_shown(
    run: Run,
    all_memory_conf: Path,
    monkeypatch: pytest.MonkeyPatch,
    patch: Callable[[pytest.MonkeyPatch], None],
    said: str,
) -> None:
    patch(monkeypatch)
    done = run("demo", "--conf-file", all_memory_conf)
    assert done.code == 0, done
    assert said in done.out


def never_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Delivery, "redelivered", property(lambda self: False))


def no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Delivery, "death", property(lambda self: None))


def lost_message(monkeypatch: pytest.MonkeyPatch) -> None:
    publish, published = WireBroker[Any].publish, 0

    async def forgetful(broker: Any, message: Any, **options: Any) -> str:
        nonlocal published
        published += 1
        return "lost" if published == 9 else await publish(broker, message, **options)

    monkeypatch.setattr(WireBroker, "publish", forgetful)


def unfenced(monkeypatch: pytest.MonkeyPatch) -> None:
    update = MemoryConfigDatabase.object_update

    async def careless(
        database: MemoryConfigDatabase, *args: Any, fence: Fence | None = None, **options: Any
    ) -> Any:
        return await update(database, *args, **options)

    monkeypatch.setattr(MemoryConfigDatabase, "object_update", careless)


def two_leaders(monkeypatch: pytest.MonkeyPatch) -> None:
    contenders = MemoryCoordinationService.contenders

    async def alone(service: MemoryCoordinationService, path: str) -> Any:
        return [
            ticket
            for ticket in await contenders(service, path)
            if ticket.session_id == service.session.id
        ]

    monkeypatch.setattr(MemoryCoordinationService, "contenders", alone)


@pytest.mark.promise("demo.whole-story", engines=["memory"])
@pytest.mark.parametrize(
    ("fault", "broken"),
    [
        (never_marked, "marked redelivered"),
        (no_reason, "it is a dead letter"),
        (lost_message, "none is lost"),
        (unfenced, "the late write is refused"),
        (two_leaders, "one leads"),
    ],
)
def test_a_broken_promise_is_shown_and_exit_1(
    run: Run,
    all_memory_conf: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[pytest.MonkeyPatch], None],
    broken: str,
) -> None:
    fault(monkeypatch)
    monkeypatch.setattr(demo_messages, "PATIENCE", 0.2)
    done = run("demo", "--conf-file", all_memory_conf)
    assert done.code == 1, done
    assert re.search(f"^   BROKEN .*{broken}", done.out, re.MULTILINE), done.out
    assert "a promise was broken, see above" in done.out


@pytest.mark.promise("demo.leaves-nothing", engines=["sqlite"])
def test_in_a_database_of_somebody_it_leaves_nothing(run: Run, conf: Path) -> None:
    run("load", "--conf-file", conf, DATA / "exim.json")
    before = content(run, conf)
    done = run("demo", "--conf-file", conf)
    assert done.code == 0, done
    assert "taken away again" in done.out
    assert content(run, conf) == before
    assert run("demo", "--conf-file", conf).code == 0


@pytest.mark.promise("demo.leaves-nothing", engines=["memory"])
@pytest.mark.parametrize("fails", [False, True])
def test_in_services_of_somebody_it_leaves_nothing(
    run: Run,
    all_memory_conf: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails: bool,
) -> None:
    where: dict[str, Any] = {"engine": "memory", "endpoints": tmp_path.name}
    play: Play = demo.play
    opened = (
        open_config_database(**where),
        open_message_broker(**where),
        open_coordination(**where),
    )
    exchanges: list[str] = []
    left: dict[str, Any] = {}
    create = WireBroker[Any].create_exchange

    async def noted(broker: Any, exchange_name: str, **options: Any) -> None:
        exchanges.append(exchange_name)
        await create(broker, exchange_name, **options)

    async def watched(*args: Any) -> bool:
        """Play while somebody else is there, who looks around afterwards."""
        async with opened[0] as database, opened[1] as broker, opened[2] as coordination:
            await coordination.create_node("/somebody/s", b"node")
            try:
                whole: bool = await play(*args)
            finally:
                left["nodes"] = await coordination.get_children("/")
                left["objects"] = [
                    uuid
                    for obj_type in database.schema.types
                    for _, uuid in await database.object_list(obj_type)
                ]
                for exchange in exchanges:
                    with pytest.raises(ExchangeNotFoundError):
                        await broker.publish(b"", exchange=exchange)
            return whole

    monkeypatch.setattr(WireBroker, "create_exchange", noted)
    monkeypatch.setattr(demo, "play", watched)
    if fails:
        refusal = AccessDeniedError("nobody may contend")
        coordination_faults(tmp_path.name).fail_next(refusal, "contend", times=2)
    done = run("demo", "--conf-file", all_memory_conf)
    assert done.code == int(fails), done
    assert ("nobody may contend" in done.err) is fails
    assert "taken away again" in done.out
    assert len(exchanges) == 3
    assert left == {"nodes": ["somebody"], "objects": []}


@pytest.mark.promise("demo.leaves-nothing", engines=["sqlite"])
def test_what_is_there_is_not_touched(run: Run, conf: Path) -> None:
    run("load", "--conf-file", conf, DATA / "exim.json")
    before = content(run, conf)
    done = run("demo", "--conf-file", conf, "--dump", DATA / "exim.json")
    assert done.code == 2
    assert "is taken" in done.err
    assert len(done.err.splitlines()) == 1
    assert content(run, conf) == before


def test_it_takes_a_dump_of_its_own_form(run: Run, conf: Path, tmp_path: Path) -> None:
    run("load", "--conf-file", conf, DATA / "columns.json")
    run("dump", "--conf-file", conf, "--output", tmp_path / "own.jsonl")
    done = run("demo", "--dump", tmp_path / "own.jsonl")
    assert done.code == 0, done
    assert "35 objects of 11 types" in done.out


def test_without_settings_the_environment_leads_nowhere_else(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ASYNCBACKENDS_DATABASE__ENGINE", "sqlite")
    monkeypatch.setenv("ASYNCBACKENDS_DATABASE__ENDPOINTS", str(tmp_path / "precious.db"))
    assert run("demo").code == 0
    assert not (tmp_path / "precious.db").exists()


@pytest.mark.promise("cli.one-sentence-for-bad-input")
def test_a_missing_dump_is_one_sentence(run: Run, tmp_path: Path) -> None:
    done = run("demo", "--dump", tmp_path / "missing")
    assert done.code == 2
    assert str(tmp_path / "missing") in done.err
    assert len(done.err.splitlines()) == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return stream


def test_a_terminal_has_colours_and_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = terminal(monkeypatch)
    screen = Screen()
    screen.progress("objects", 5, 10)
    screen.say(screen.paint("done", "green"))
    assert "objects: [###############...............] 5 of 10" in stream.getvalue()
    assert "\x1b[32mdone\x1b[0m" in stream.getvalue()


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    assert Screen().paint("done", "green") == "done"


def test_elsewhere_there_are_neither(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.progress("objects", 5, 10)
    screen.say(screen.paint("done", "green"))
    assert capsys.readouterr() == ("done\n", "")
