"""``engines`` and ``check``."""

import asyncio
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from asyncbackends import (
    MessageBroker,
    ObjectType,
    RefType,
    Schema,
    open_config_database,
    open_message_broker,
)
from asyncbackends.cli import engines
from asyncbackends.errors import AccessDeniedError, EngineUnavailableError, ExchangeNotFoundError
from asyncbackends.opening import Opener
from asyncbackends_memory import coordination_faults
from tests.cli.conftest import Run, command, settings

A = "0f000000-0000-4000-8000-00000000000a"
B = "0f000000-0000-4000-8000-00000000000b"


def test_engines_are_listed_with_what_they_guarantee(run: Run) -> None:
    done = run("engines")
    assert done.code == 0
    assert "config database: memory, installed" in done.out
    assert "config database: sqlite, installed" in done.out
    assert "message broker: memory, installed" in done.out
    assert "coordination service: memory, installed" in done.out
    assert "atomic_batch" in done.out
    assert "limits:     none but fq name bytes 1024\n" in done.out
    assert "limits:     message bytes 1000000\n" in done.out
    assert (
        "limits:     value bytes 1000000, transaction operations 100, path bytes 4096\n" in done.out
    )


def test_engines_as_json(run: Run) -> None:
    engines = json.loads(run("engines", "--json").out)["engines"]
    found = {(each["kind"], each["name"]): each for each in engines}
    sqlite = found["config_database", "sqlite"]
    assert sqlite["installed"] is True
    assert "survives_process_kill" in sqlite["guarantees"]
    assert found["config_database", "memory"]["limits"]["fq_name_bytes"] == 1024
    assert found["message_broker", "memory"]["limits"]["message_bytes"] == 1_000_000
    assert "fencing_tokens" in found["coordination", "memory"]["guarantees"]


def test_an_engine_without_its_driver_names_the_extra(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(engine: Any) -> None:
        message = f'the driver is missing; pip install "asyncbackends[{engine.name}]"'
        raise EngineUnavailableError(message)

    monkeypatch.setattr(engines, "load_driver", missing)
    done = run("engines")
    assert 'memory, not installed: the driver is missing; pip install "asyncbackends[memory]"' in (
        done.out
    )
    assert "guarantees: " in done.out


def test_a_limited_python_version_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = ["driver>=1; python_version < \"3.13\" and extra == 'memory'", "anyio"]

    def requires(name: str) -> list[str]:
        return requirements if name == "asyncbackends" else metadata.requires(name) or []

    monkeypatch.setattr(engines, "requires", requires)
    assert "needs:      Python < 3.13" in run("engines").out


def test_check_shows_every_backend(run: Run, conf: Path) -> None:
    done = run("check", "--conf-file", conf)
    assert done.code == 0
    assert done.out.splitlines()[0].split() == ["BACKEND", "ENGINE", "SERVER", "LATENCY", "RESULT"]
    assert "SQLite" in done.out.splitlines()[1]
    assert done.out.splitlines()[1].endswith("ok")
    assert "guarantees: atomic_batch" in done.out


def test_check_as_json(run: Run, conf: Path) -> None:
    report = json.loads(run("check", "--conf-file", conf, "--references", "--json").out)
    assert report["ok"] is True
    (backend,) = report["backends"]
    assert backend["kind"] == "config_database"
    assert backend["revision"] == 0
    assert backend["latency_ms"] > 0
    assert backend["references"]["dangling_count"] == 0


def test_check_says_that_nobody_else_sees_a_memory_database(run: Run, memory_conf: Path) -> None:
    done = run("check", "--conf-file", memory_conf)
    assert done.code == 0
    assert "other processes never see this config database" in done.out


def test_check_tries_every_kind(run: Run, all_memory_conf: Path) -> None:
    with all_memory_conf.open("a", encoding="utf-8") as file:
        file.write("session_ttl = 5\n")
    done = run("check", "--conf-file", all_memory_conf)
    assert done.code == 0, done
    assert [line.split("  ")[0] for line in done.out.splitlines()[1:4]] == [
        "config database",
        "message broker",
        "coordination service",
    ]
    assert "message broker guarantees: bounded_queues" in done.out
    assert "coordination service session: 5 s granted" in done.out
    for kind in ("config database", "message broker", "coordination service"):
        assert f"other processes never see this {kind}" in done.out
    report = json.loads(run("check", "--conf-file", all_memory_conf, "--json").out)
    assert report["ok"] is True
    assert all(backend["latency_ms"] > 0 for backend in report["backends"])
    assert [backend["session_ttl"] for backend in report["backends"]] == [None, None, 5.0]


@pytest.mark.parametrize("name", ["check", "demo"])
def test_a_configured_queue_is_not_consumed(run: Run, tmp_path: Path, name: str) -> None:
    # A client that consumes it would be told that there is no such exchange.
    conf = tmp_path / "consumer.conf"
    conf.write_text(
        "[MESSAGE_BROKER]\nengine = memory\nexchange = missing\nqueue = mine\n", "utf-8"
    )
    assert run(name, "--conf-file", conf).code == 0
    with pytest.raises(ExchangeNotFoundError):
        asyncio.run(_consume(open_message_broker(str(conf))))


async def _consume(opener: Opener[MessageBroker]) -> None:
    async with opener as broker:
        await broker.consume()


def test_a_service_that_refuses_is_one_line(
    run: Run, all_memory_conf: Path, tmp_path: Path
) -> None:
    refusal = AccessDeniedError("nobody may look")
    coordination_faults(tmp_path.name).fail_next(refusal, "exists")
    done = run("check", "--conf-file", all_memory_conf)
    assert done.code == 1
    assert [line.split()[-1] for line in done.out.splitlines()[1:4]] == ["ok", "ok", "failed"]
    assert done.err == "coordination service: nobody may look\n"


def test_the_environment_counts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCBACKENDS_DATABASE__ENGINE", "memory")
    assert run("check").code == 0


def test_nothing_configured_is_said(run: Run) -> None:
    done = run("check")
    assert done.code == 2
    assert done.out == ""
    assert len(done.err.splitlines()) == 1
    assert "--conf-file" in done.err


def test_a_backend_that_cannot_be_opened_is_one_line(run: Run, conf: Path) -> None:
    text = conf.read_text("utf-8").replace("first.db", "missing/first.db")
    conf.write_text(text, "utf-8")
    done = run("check", "--conf-file", conf)
    assert done.code == 1
    assert "failed" in done.out
    assert len(done.err.splitlines()) == 1
    assert "missing/first.db" in done.err


def test_dangling_references_are_found_through_the_protocol(run: Run, tmp_path: Path) -> None:
    schema = Schema({"thing": ObjectType(parents=("thing", "config_root"), refs={"other": RefType()}), "other": ObjectType()})  # fmt: skip

    async def spoil() -> None:
        async with open_config_database(
            engine="sqlite", endpoints=str(tmp_path / "old.db"), schema=schema, integrity="legacy"
        ) as database:
            await database.object_create("thing", A, {"fq_name": ["a"]})
            await database.object_create(
                "thing",
                B,
                {
                    "fq_name": ["b"],
                    "parent_uuid": A,
                    "parent_type": "thing",
                    "other_refs": [{"uuid": A}],
                },
            )
            await database.object_delete("thing", A)

    asyncio.run(spoil())
    conf = settings(tmp_path, "old", "integrity = legacy")
    done = run("check", "--conf-file", conf, "--references")
    assert done.code == 1
    assert f"thing {B}: parent: there is no {A}" in done.err
    assert f"thing {B}: other_refs: there is no {A}" in done.err
    assert "1 objects, 1 parents and 1 refs looked at, 2 lead nowhere" in done.out


@pytest.mark.promise("cli.one-sentence-for-bad-input")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["chek"], "chek"),
        (["check", "--conf-fil", "x"], "--conf-fil"),
        (["check", "--log-level", "loud"], "loud"),
        (["check", "--conf-file", "/nowhere/at.all"], "/nowhere/at.all"),
        (["load", "--conf-file", "/nowhere/at.all", "dump"], "/nowhere/at.all"),
        (["load"], "DUMP"),
        (["dump", "--output"], "--output"),
    ],
)
def test_wrong_arguments_are_one_sentence(run: Run, arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert len(done.err.splitlines()) == 1
    assert said in done.err


@pytest.mark.promise("cli.one-sentence-for-bad-input")
@pytest.mark.parametrize("name", ["check", "load", "dump", "demo"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[DATABASE]\nengine = sqlit\n", "sqlit"),
        ("[DATABASE]\nengine = memory\nnamspace = x\n", "namespace"),
        ("[DATABASE]\nengine = memory\noperation_timeout = soon\n", "soon"),
        ("[DATABASES]\nengine = memory\n", "DATABASES"),
        ("engine = memory\n", "line 1"),
        ("[DATABASE]\nengine = memory\nrequire = survives_power_loss\n", "survives_power_loss"),
        ("[DATABASE]\nengine = memory\nschema = /nowhere.toml\n", "/nowhere.toml"),
    ],
)
def test_wrong_settings_are_one_sentence(
    run: Run, tmp_path: Path, name: str, text: str, said: str
) -> None:
    path = tmp_path / "wrong.conf"
    path.write_text(text, "utf-8")
    dump = [Path(__file__).parents[1] / "data" / "columns.json"] if name == "load" else []
    done = run(name, "--conf-file", path, *dump)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert said in done.err


@pytest.mark.promise("cli.one-sentence-for-bad-input")
@pytest.mark.parametrize("name", ["check", "demo"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[MESSAGE_BROKER]\nengine = memry\n", "memory"),
        ("[MESSAGE_BROKER]\nengine = memory\noutbox_mesages = 5\n", "outbox_messages"),
        ("[MESSAGE_BROKER]\nexchange = x\n", "engine"),
        ("[DISTRIBUTED_COORDINATION]\nengine = sqlite\n", "coordination service"),
        ("[DISTRIBUTED_COORDINATION]\nengine = memory\nsession_ttl = 1\n", "session_ttl"),
        (
            "[DISTRIBUTED_COORDINATION]\nengine = memory\nrequire = survives_power_loss\n",
            "survives_power_loss",
        ),
    ],
)
def test_wrong_settings_of_other_kinds_are_one_sentence(
    run: Run, tmp_path: Path, name: str, text: str, said: str
) -> None:
    path = tmp_path / "wrong.conf"
    path.write_text(text, "utf-8")
    done = run(name, "--conf-file", path)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert said in done.err


def test_help_is_no_failure(run: Run) -> None:
    for arguments in (["--help"], ["load", "--help"]):
        done = run(*arguments)
        assert done.code == 0
        assert "usage: asyncbackends" in done.out


def test_logging_goes_to_standard_error(run: Run, conf: Path) -> None:
    quiet = run("check", "--conf-file", conf)
    assert quiet.err == ""
    # Logging is the process's own, so it is configured in another one.
    with command("check", "--conf-file", conf, "--log-level", "debug") as loud:
        out, err = loud.communicate(timeout=30)
    assert b"asyncbackends.database" in err
    assert out.decode().splitlines()[0] == quiet.out.splitlines()[0]
