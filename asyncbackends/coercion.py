"""From written values to an engine's options Struct, with errors that name where and what."""

from collections.abc import Mapping
from configparser import ConfigParser
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec

from asyncbackends.errors import ConfigurationError
from asyncbackends.object_model.views import near_match
from asyncbackends.options import BackendOptions, Secret
from asyncbackends.schema import Schema
from asyncbackends.settings import SectionValue

__all__ = ("changed_options", "coerced_options", "coerced_value")

OptionsT = TypeVar("OptionsT", bound=BackendOptions)


def coerced_options(options_type: type[OptionsT], values: Mapping[str, SectionValue]) -> OptionsT:
    """Make an engine's options.

    :raises ConfigurationError: an unknown key, with the nearest known one; a wrong value.
    """
    return _made(options_type, _checked(options_type, values))


def changed_options(options: OptionsT, params: Mapping[str, Any]) -> OptionsT:
    """Give options with some changed by the parameters of ``connect``."""
    values = {name: SectionValue(value, f"parameter {name}") for name, value in params.items()}
    return _made(type(options), msgspec.structs.asdict(options) | _checked(type(options), values))


def _made(options_type: type[OptionsT], values: Mapping[str, Any]) -> OptionsT:
    try:
        return options_type(**values)
    except (TypeError, ValueError) as error:
        # A required option that is missing, or what the Struct's own __post_init__ refuses.
        message = f"options: {error}"
        raise ConfigurationError(message) from error


def _checked(
    options_type: type[BackendOptions], values: Mapping[str, SectionValue]
) -> dict[str, Any]:
    fields = {field.name: field.type for field in msgspec.structs.fields(options_type)}
    checked: dict[str, Any] = {}
    for key, value in values.items():
        if key not in fields:
            message = (
                f"{value.origin}: there is no option {key!r}"
                f"{near_match(key, (*fields, 'engine', 'endpoints', 'require'))}"
            )
            raise ConfigurationError(message)
        checked[key] = coerced_value(value, fields[key], key)
    if "password_file" in checked and checked["password_file"] is not None:
        checked["password"] = _password(checked, values["password_file"])
    return checked


def _password(checked: Mapping[str, Any], value: SectionValue) -> Secret:
    if checked.get("password") is not None:
        message = f"{value.origin}: give password or password_file, not both"
        raise ConfigurationError(message)
    try:
        return Secret(Path(value.value).read_text(encoding="utf-8").rstrip("\r\n"))
    except (OSError, UnicodeDecodeError) as error:
        message = f"{value.origin}: cannot read it: {error}"
        raise ConfigurationError(message) from error


def coerced_value(value: SectionValue, wanted: Any, key: str) -> Any:
    """Give a value as the wanted type; text becomes a number, a boolean, a list, a schema.

    :raises ConfigurationError: naming where it stands; a secret is never shown.
    """
    choices = get_args(wanted) if get_origin(wanted) in {Union, UnionType} else (wanted,)
    written = value.value
    if Schema in choices:
        return written if isinstance(written, Schema | None) else _schema(value)
    if Secret in choices:
        return _secret(value, key)
    if isinstance(written, str):
        if bool in choices:
            written = ConfigParser.BOOLEAN_STATES.get(written.lower(), written)
        elif get_origin(wanted) in {list, tuple}:
            written = [part.strip() for part in written.split(",") if part.strip()]
    try:
        return msgspec.convert(written, wanted, strict=not isinstance(written, str))
    except msgspec.ValidationError as error:
        reason = str(error).replace("`", "")
        message = f"{value.origin}: {value.value!r} is no value for {key!r}: {reason}"
        raise ConfigurationError(message) from None


def _secret(value: SectionValue, key: str) -> Secret | None:
    if value.value is None or isinstance(value.value, Secret):
        return value.value
    if not isinstance(value.value, str):
        message = f"{value.origin}: {key!r} is text"
        raise ConfigurationError(message)
    return Secret(value.value)


def _schema(value: SectionValue) -> Schema:
    if not isinstance(value.value, str) and not hasattr(value.value, "__fspath__"):
        message = f"{value.origin}: a schema is the path of a TOML file or a Schema"
        raise ConfigurationError(message)
    try:
        return Schema.from_toml(value.value)
    except ConfigurationError as error:
        error.args = (f"{value.origin}: {error}",)
        raise
