"""Reads settings files and the environment into plain (section, key, value) triples."""

import configparser
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from asyncbackends.errors import ConfigurationError
from asyncbackends.narrowing import is_mapping
from asyncbackends.object_model.views import near_match

__all__ = ("Source", "environment_source", "file_source", "mapping_source")

PREFIX = "ASYNCBACKENDS_"


class Source(msgspec.Struct, frozen=True):
    """What one file or the environment says; ``section`` may be ``SECTION.engine``."""

    name: str
    values: list[tuple[str, str, Any]]


def file_source(path: str) -> Source:
    """Read a file.

    :raises ConfigurationError: naming the file, and the line at fault.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"cannot read the settings file {path}: {error}"
        raise ConfigurationError(message) from error
    if path.endswith(".toml"):
        return _toml(path, text)
    return _ini(path, text)


def _ini(path: str, text: str) -> Source:
    # No interpolation: a password may hold a percent sign.
    parser = configparser.ConfigParser(interpolation=None, default_section="\0", strict=True)
    try:
        parser.read_string(text, source=path)
    except configparser.Error as error:
        message = f"settings file {path}: {_without_values(error)}"
        raise ConfigurationError(message) from None
    values = [
        (section, key, value)
        for section in parser.sections()
        for key, value in parser.items(section)
    ]
    return Source(path, values)


def _without_values(error: configparser.Error) -> str:
    """Say what is wrong and where, and never what stands there: it may be a password."""
    match error:
        case configparser.MissingSectionHeaderError():
            return f"line {error.lineno}: a key before the first [SECTION]"
        case configparser.DuplicateOptionError():
            return f"line {error.lineno}: [{error.section}] has the key {error.option!r} twice"
        case configparser.DuplicateSectionError():
            return f"line {error.lineno}: the section [{error.section}] stands there twice"
        case configparser.ParsingError():
            lines = ", ".join(str(line) for line, _ in error.errors)
            return f"line {lines}: neither a [SECTION] nor key = value"
        case _:
            return type(error).__name__


def _toml(path: str, text: str) -> Source:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = f"settings file {path}: {error}"
        raise ConfigurationError(message) from None
    return mapping_source(f"settings file {path}", content)


def mapping_source(name: str, content: Mapping[str, Any]) -> Source:
    """Take sections of keys, and in these sections of an engine's keys, apart.

    :raises ConfigurationError: for a key outside a section.
    """
    values: list[tuple[str, str, Any]] = []
    for section, table in content.items():
        if not is_mapping(table):
            message = f"{name}: the key {section!r} stands outside a [SECTION]"
            raise ConfigurationError(message)
        for key, value in table.items():
            if is_mapping(value):
                values += [(f"{section}.{key}", option, item) for option, item in value.items()]
            else:
                values.append((section, key, value))
    return Source(name.removeprefix("settings file "), values)


def environment_source(environment: Mapping[str, str], sections: Sequence[str]) -> Source:
    """Read the variables that configure a backend: a prefix, a section, and a key behind ``__``.

    :raises ConfigurationError: naming a variable of that form with an unknown section.
    """
    values: list[tuple[str, str, Any]] = []
    for variable in sorted(environment):
        section, *keys = variable.removeprefix(PREFIX).split("__")
        if not variable.startswith(PREFIX) or not keys:
            continue
        if section not in sections or len(keys) > 2:
            message = (
                f"the environment variable {variable} is none of "
                f"{PREFIX}<SECTION>__<KEY> and {PREFIX}<SECTION>__<ENGINE>__<KEY>"
                f"{near_match(section, sections)}"
            )
            raise ConfigurationError(message)
        *engine, key = keys
        values.append((".".join([section, *engine]), key.lower(), environment[variable]))
    return Source("environment", values)
