"""Settings: where they come from, which source wins, and what the engine gets."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from asyncbackends.coercion import changed_options, coerced_options
from asyncbackends.options import DatabaseOptions, Secret, ServerOptions
from asyncbackends.protocols.backend import Kind
from asyncbackends.schema import Schema
from asyncbackends.settings import Settings, load_settings, settings_from

pytestmark = pytest.mark.promise("settings.sources-and-precedence")

DATABASE = Kind.CONFIG_DATABASE

INI = """\
[DATABASE]
engine = postgres
endpoints = a:1, b:2
operation_timeout = 3

[DATABASE.postgres]
username = from-ini
password = 100%%sure
tls = on

[DATABASE.memory]
endpoints = only-for-memory
"""

TOML = """\
[database]
engine = "postgres"
endpoints = ["a:1", "b:2"]
operation_timeout = 3

[database.postgres]
username = "from-ini"
password = "100%%sure"
tls = "on"

[database.memory]
endpoints = "only-for-memory"
"""


class Options(ServerOptions, frozen=True, kw_only=True):
    schema: Schema | None = None
    hosts: list[str] = msgspec.field(default_factory=list[str])
    flag: bool = False
    size: int = 1


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, "utf-8")
    return str(path)


def values_of(settings: Settings, engine: str = "postgres") -> dict[str, Any]:
    return {key: item.value for key, item in settings.merged(DATABASE, engine).items()}


def options_from(settings: Settings, **more: Any) -> Options:
    merged = settings.over(DATABASE, more).merged(DATABASE, "postgres")
    del merged["engine"]
    merged.pop("endpoints", None)
    return coerced_options(Options, merged)


@pytest.mark.parametrize(("name", "text"), [("a.ini", INI), ("a.conf", INI), ("a.toml", TOML)])
def test_both_forms_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    settings = load_settings([write(tmp_path, name, text)])
    assert settings.has(DATABASE)
    assert not settings.has(Kind.MESSAGE_BROKER)
    options = options_from(settings)
    assert options.username == "from-ini"
    # No interpolation: a percent sign is a percent sign.
    assert options.password == Secret("100%%sure")
    assert (options.operation_timeout, options.tls) == (3.0, "on")


def test_section_of_another_engine_does_not_count(tmp_path: Path) -> None:
    settings = load_settings([write(tmp_path, "a.ini", INI)])
    assert values_of(settings, "postgres")["endpoints"] == "a:1, b:2"
    assert values_of(settings, "memory")["endpoints"] == "only-for-memory"
    assert "username" not in values_of(settings, "memory")


def test_engine_line_alone_swaps_the_engine(tmp_path: Path) -> None:
    first = write(tmp_path, "a.ini", INI)
    second = write(tmp_path, "b.ini", "[DATABASE]\nengine = memory\n")
    settings = load_settings([first, second])
    chosen = settings.value(DATABASE, "engine")
    assert chosen is not None
    assert chosen.value == "memory"
    assert values_of(settings, "memory")["endpoints"] == "only-for-memory"


def test_later_sources_win(tmp_path: Path) -> None:
    files = [
        write(tmp_path, "a.ini", INI),
        write(tmp_path, "b.toml", '[DATABASE]\nsize = 2\n[DATABASE.postgres]\nusername = "b"\n'),
    ]
    environment = {
        "ASYNCBACKENDS_DATABASE__SIZE": "3",
        "ASYNCBACKENDS_DATABASE__POSTGRES__FLAG": "yes",
        "ASYNCBACKENDS_OTHER": "not of this form",
        "HOME": "/root",
    }
    assert options_from(load_settings(files[:1])).size == 1
    assert options_from(load_settings(files)).size == 2
    options = options_from(load_settings(files, environment))
    assert (options.size, options.flag, options.username) == (3, True, "b")
    assert options_from(load_settings(files, environment), size=4).size == 4
    assert options_from(load_settings(files[::-1])).username == "from-ini"


def test_general_section_of_a_later_source_wins_over_the_engines_of_an_earlier(
    tmp_path: Path,
) -> None:
    settings = load_settings(
        [write(tmp_path, "a.ini", INI), write(tmp_path, "b.ini", "[DATABASE]\nusername = b\n")]
    )
    assert options_from(settings).username == "b"


def test_engines_section_wins_within_a_source() -> None:
    section = {"username": "general", "postgres": {"username": "own"}}
    assert values_of(settings_from({"DATABASE": section}))["username"] == "own"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("NO", False),
        ("on", True),
        ("Off", False),
        ("1", True),
        ("false", False),
        (True, True),
    ],
)
def test_booleans(text: Any, value: bool) -> None:
    assert options_from(from_mapping(flag=text)).flag is value


@pytest.mark.parametrize(
    ("text", "value"),
    [("a, b ,,c", ["a", "b", "c"]), ("", []), ("one", ["one"]), (["a,b"], ["a,b"])],
)
def test_lists(text: Any, value: list[str]) -> None:
    assert options_from(from_mapping(hosts=text)).hosts == value


@pytest.mark.parametrize(("text", "value"), [("2.5", 2.5), ("3", 3.0), (4, 4.0), (0.5, 0.5)])
def test_seconds_are_floats(text: Any, value: float) -> None:
    assert options_from(from_mapping(operation_timeout=text)).operation_timeout == value


def from_mapping(**section: Any) -> Settings:
    return settings_from({"DATABASE": {"engine": "postgres", **section}})


def test_password_comes_from_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, "secret", "  s3cret with blanks \r\n")
    options = options_from(from_mapping(password_file=path))
    assert options.password is not None
    assert options.password.reveal() == "  s3cret with blanks "


def test_defaults_are_those_of_every_engine() -> None:
    options = options_from(from_mapping())
    assert options.namespace == "asyncbackends"
    assert (options.connect_timeout, options.operation_timeout, options.link_timeout) == (10,) * 3
    assert (options.reconnect_min, options.reconnect_max) == (0.05, 5)
    assert (options.tls, options.password, options.username) == ("off", None, None)
    database = DatabaseOptions()
    assert (database.integrity, database.watch_history) == ("strict", 100_000)
    assert (database.create_schema, database.schema) == (True, None)


def test_parameters_of_connect_change_options() -> None:
    options = options_from(from_mapping(size=5))
    changed = changed_options(options, {"operation_timeout": 2, "flag": True})
    assert (changed.operation_timeout, changed.flag, changed.size) == (2.0, True, 5)
    assert (options.operation_timeout, options.flag) == (10.0, False)


def test_environment_counts_with_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCBACKENDS_DATABASE__ENGINE", "from-environment")
    path = write(tmp_path, "a.ini", INI)

    def engine_of(source: Any) -> Any:
        found = settings_from(source, os.environ).value(DATABASE, "engine")
        return None if found is None else found.value

    assert engine_of(path) == engine_of([path]) == engine_of(Path(path)) == "from-environment"
    mapping: Mapping[str, Any] = {"DATABASE": {"engine": "given"}}
    assert engine_of(mapping) == engine_of(settings_from(mapping)) == "given"


def test_schema_is_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, "schema.toml", "[types.project]\n")
    schema = options_from(from_mapping(schema=path)).schema
    assert schema is not None
    assert list(schema.types) == ["project"]
