"""A wrong setting: one sentence that names file, section and key, and never a secret."""

import pickle
import traceback
from pathlib import Path
from typing import Any

import msgspec
import pytest

from asyncbackends.coercion import changed_options, coerced_options
from asyncbackends.errors import ConfigurationError
from asyncbackends.opening import open_backends, open_config_database
from asyncbackends.options import BackendOptions, DatabaseOptions, Secret, ServerOptions
from asyncbackends.protocols.backend import Kind
from asyncbackends.settings import SectionValue, Settings, load_settings, settings_from
from tests.unit.test_settings import write

SECRET = "hunter2-never-shown"  # noqa: S105  # the one that must not show


class Options(ServerOptions, frozen=True, kw_only=True):
    size: int = 1


def refused(settings: Settings, options: type[BackendOptions] = Options) -> str:
    merged = settings.merged(Kind.CONFIG_DATABASE, "postgres")
    merged.pop("engine", None)
    with pytest.raises(ConfigurationError) as refusal:
        coerced_options(options, merged)
    message = str(refusal.value)
    assert "\n" not in message
    return message


@pytest.mark.promise("settings.errors-name-the-place")
def test_unknown_key_names_file_section_key_and_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path, "site.ini", "[DATABASE]\nengine = postgres\noperation_timout = 5\n")
    message = refused(load_settings([path]))
    assert f"{path} [DATABASE] operation_timout" in message
    assert "did you mean 'operation_timeout'?" in message
    path = write(tmp_path, "site.toml", "[database.postgres]\nusernme = 'x'\n")
    message = refused(load_settings([path]))
    assert f"{path} [database.postgres] usernme" in message
    assert "did you mean 'username'?" in message


@pytest.mark.promise("settings.errors-name-the-place")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("operation_timeout", "0"),
        ("operation_timeout", "-1"),
        ("operation_timeout", "soon"),
        ("create_schema", "perhaps"),
        ("integrity", "loose"),
        ("namespace", "has blanks"),
        ("watch_history", "1.5"),
        ("watch_history", "0"),
        ("schema", 5),
    ],
)
def test_wrong_value_names_its_place(key: str, value: Any) -> None:
    message = refused(settings_from({"DATABASE": {key: value}}), DatabaseOptions)
    assert f"settings [DATABASE] {key}" in message


@pytest.mark.promise("settings.errors-name-the-place")
def test_environment_and_arguments_are_named() -> None:
    message = refused(load_settings([], {"ASYNCBACKENDS_DATABASE__SIZE": "x"}))
    assert "environment [DATABASE] size" in message
    message = refused(Settings().over(Kind.CONFIG_DATABASE, {"size": "x"}))
    assert "argument size" in message
    with pytest.raises(ConfigurationError, match=r"parameter sizes: .*'size'"):
        changed_options(Options(), {"sizes": 1})


@pytest.mark.promise("settings.errors-name-the-place")
@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.ini", "engine = memory\n", "line 1"),
        ("a.ini", f"[DATABASE]\nengine\npassword = {SECRET}\n", "line 2"),
        ("a.ini", f"[DATABASE]\npassword = x\npassword = {SECRET}\n", "'password' twice"),
        ("a.ini", "[DATABASE]\n[DATABASE]\n", "[DATABASE] stands there twice"),
        ("a.ini", "[DATABSE]\nengine = memory\n", "did you mean 'DATABASE'?"),
        ("a.ini", "[DEFAULT]\nengine = memory\n", "[DEFAULT]"),
        ("a.toml", "engine = 'memory'\n", "outside a [SECTION]"),
        ("a.toml", f'[database]\npassword = "{SECRET}\nx = 1', "line 2"),
        ("a.toml", "[databases]\nengine = 'memory'\n", "did you mean 'DATABASE'?"),
    ],
)
def test_broken_file_is_named_with_its_line(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(ConfigurationError) as refusal:
        load_settings([path])
    assert path in str(refusal.value)
    assert reason in str(refusal.value)
    assert SECRET not in "".join(traceback.format_exception(refusal.value))


@pytest.mark.promise("settings.errors-name-the-place")
def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary.ini").write_bytes(b"\xff\xfe[DATABASE]")
    for name in ("absent.ini", "binary.ini", "."):
        path = str(tmp_path / name)
        with pytest.raises(ConfigurationError) as refusal:
            load_settings([path])
        assert path in str(refusal.value)


@pytest.mark.promise("settings.errors-name-the-place")
@pytest.mark.parametrize(
    "variable",
    [
        "ASYNCBACKENDS_DATABSE__ENGINE",
        "ASYNCBACKENDS_DATABASE__A__B__C",
        "ASYNCBACKENDS_database__ENGINE",
    ],
)
def test_variable_of_an_unknown_section_is_named(variable: str) -> None:
    with pytest.raises(ConfigurationError, match=variable):
        load_settings([], {variable: "x"})


@pytest.mark.promise("settings.errors-name-the-place")
def test_missing_section_and_engine_are_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\[DATABASE\] is missing"):
        open_config_database({})
    with pytest.raises(ConfigurationError, match=r"\[DATABASE\] has no engine"):
        open_config_database({"DATABASE": {"endpoints": "x"}})
    with pytest.raises(ConfigurationError, match="an engine is named by text"):
        open_config_database({"DATABASE": {"engine": 5}})
    backends = open_backends({})
    with pytest.raises(ConfigurationError, match=r"no section \[DATABASE\]"):
        assert backends.database
    backends = open_backends({"DATABASE": {"engine": "memory"}})
    with pytest.raises(ConfigurationError, match="inside the `async with`"):
        assert backends.database


@pytest.mark.promise("settings.errors-name-the-place")
def test_required_guarantees_are_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'atomic_batch'"):
        open_config_database(engine="memory", require="atomic_batches")
    with pytest.raises(ConfigurationError, match="there is no guarantee"):
        open_config_database(engine="memory", require=["atomic_batch", "speed"])


@pytest.mark.promise("settings.errors-name-the-place")
def test_both_passwords_are_one_too_many(tmp_path: Path) -> None:
    path = write(tmp_path, "secret", SECRET)
    message = refused(settings_from({"DATABASE": {"password": "x", "password_file": path}}))
    assert "password or password_file, not both" in message
    message = refused(settings_from({"DATABASE": {"password_file": str(tmp_path / "absent")}}))
    assert "[DATABASE] password_file: cannot read it" in message


@pytest.mark.promise("settings.secrets-never-show")
def test_secret_shows_nowhere(tmp_path: Path) -> None:
    path = write(tmp_path, "a.ini", f"[DATABASE]\nengine = postgres\npassword = {SECRET}\n")
    settings = load_settings([path])
    merged = settings.merged(Kind.CONFIG_DATABASE, "postgres")
    del merged["engine"]
    options = coerced_options(Options, merged)
    assert options.password is not None
    assert options.password.reveal() == SECRET
    shown = [repr(settings), str(settings), repr(merged), repr(options), repr(options.password)]
    shown += [str(options.password), f"{options.password}", "%s" % options.password]  # noqa: UP031  # every way
    shown += [repr(msgspec.structs.asdict(options)), repr(SectionValue(SECRET, "x"))]
    assert [one for one in shown if SECRET in one] == []
    with pytest.raises(TypeError):
        msgspec.json.encode(options)


@pytest.mark.promise("settings.secrets-never-show")
@pytest.mark.parametrize("value", [5, [SECRET], {"x": SECRET}, True])
def test_secret_of_the_wrong_type_shows_nowhere(value: Any) -> None:
    section = {"DATABASE": {"engine": "postgres", "postgres": {"password": value}}}
    settings = settings_from(
        {"DATABASE": {"password": value}} if value != {"x": SECRET} else section
    )
    merged = settings.merged(Kind.CONFIG_DATABASE, "postgres")
    merged.pop("engine", None)
    with pytest.raises(ConfigurationError) as refusal:
        coerced_options(Options, merged)
    assert SECRET not in "".join(traceback.format_exception(refusal.value))


@pytest.mark.promise("settings.secrets-never-show")
def test_secret_beside_a_wrong_value_shows_nowhere(tmp_path: Path) -> None:
    path = write(tmp_path, "a.ini", f"[DATABASE]\npassword = {SECRET}\nsize = x\n")
    with pytest.raises(ConfigurationError) as refusal:
        coerced_options(Options, load_settings([path]).merged(Kind.CONFIG_DATABASE, "postgres"))
    assert SECRET not in "".join(traceback.format_exception(refusal.value))


@pytest.mark.promise("settings.secrets-never-show")
def test_secrets_are_compared_and_not_hashed_away() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert SECRET not in repr(pickle.dumps(SectionValue("x", "y")))
