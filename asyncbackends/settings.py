"""Which engine serves each kind, with which options: from files, the environment and arguments.

A later source wins over an earlier one: files in order, the environment, arguments. Inside one
source the section of the engine in use wins over the section of the kind.
"""

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any, TypeAlias

import msgspec

from asyncbackends.errors import ConfigurationError
from asyncbackends.object_model.views import near_match
from asyncbackends.protocols.backend import Kind
from asyncbackends.settings_sources import (
    Source,
    environment_source,
    file_source,
    mapping_source,
)

__all__ = ("SECTIONS", "SectionValue", "Settings", "SettingsLike", "load_settings", "settings_from")

SECTIONS: Mapping[Kind, str] = {
    Kind.CONFIG_DATABASE: "DATABASE",
    Kind.MESSAGE_BROKER: "MESSAGE_BROKER",
    Kind.COORDINATION: "DISTRIBUTED_COORDINATION",
}


class SectionValue(msgspec.Struct, frozen=True):
    """A value as it was written, and where."""

    value: Any
    origin: str

    def __repr__(self) -> str:
        return f"SectionValue(origin={self.origin!r})"


Section: TypeAlias = Mapping[str, SectionValue]
"""By key; a key of an engine's own section is ``engine.key``."""


class Settings(msgspec.Struct, frozen=True):
    """Settings as read, source by source; nothing is checked against an engine yet."""

    layers: tuple[Mapping[Kind, Section], ...] = ()

    def has(self, kind: Kind) -> bool:
        """Say whether any source has a section for the kind."""
        return any(kind in layer for layer in self.layers)

    def value(self, kind: Kind, key: str) -> SectionValue | None:
        """Give the value of a key of the kind's section, from the last source that has it."""
        found = [layer[kind][key] for layer in self.layers if key in layer.get(kind, {})]
        return found[-1] if found else None

    def merged(self, kind: Kind, engine: str) -> dict[str, SectionValue]:
        """Give the values for an engine: every source's section, its engine's own over it."""
        merged: dict[str, SectionValue] = {}
        prefix = f"{engine.lower()}."
        for layer in self.layers:
            section = layer.get(kind, {})
            merged |= {key: value for key, value in section.items() if "." not in key}
            merged |= {
                key.removeprefix(prefix): value
                for key, value in section.items()
                if key.startswith(prefix)
            }
        return merged

    def over(self, kind: Kind, arguments: Mapping[str, Any]) -> "Settings":
        """Give these settings with arguments of a call as the last source."""
        layer = {
            kind: {key: SectionValue(value, f"argument {key}") for key, value in arguments.items()}
        }
        return Settings((*self.layers, layer)) if arguments else self


SettingsLike: TypeAlias = (
    Settings | Mapping[str, Mapping[str, Any]] | str | PathLike[str] | Sequence[str | PathLike[str]]
)
"""Settings, a mapping of the shape of a file, or the paths of files."""


def load_settings(
    files: Sequence[str | PathLike[str]] = (), environment: Mapping[str, str] | None = None
) -> Settings:
    """Read files (``.toml`` as TOML, others as INI) in order, then the environment.

    :param environment: usually ``os.environ``; variables such as ``ASYNCBACKENDS_DATABASE__ENGINE``
        and ``ASYNCBACKENDS_DATABASE__POSTGRES__USERNAME`` count.
    :raises ConfigurationError: naming the file, and the line, section or key at fault.
    """
    sources = [file_source(fspath(file)) for file in files]
    if environment is not None:
        sources.append(environment_source(environment, tuple(SECTIONS.values())))
    return Settings(tuple(layer for source in sources if (layer := _layer(source))))


def settings_from(settings: SettingsLike, environment: Mapping[str, str] | None = None) -> Settings:
    """Give Settings from whatever an opener takes; the environment counts with files alone."""
    if isinstance(settings, Settings):
        return settings
    if isinstance(settings, Mapping):
        return Settings((_layer(mapping_source("settings", settings)),))
    if isinstance(settings, (str, PathLike)):
        return load_settings([settings], environment)
    return load_settings(settings, environment)


def _layer(source: Source) -> dict[Kind, dict[str, SectionValue]]:
    kinds = {section: kind for kind, section in SECTIONS.items()}
    layer: dict[Kind, dict[str, SectionValue]] = {}
    for section, key, value in source.values:
        name, _, engine = section.partition(".")
        kind = kinds.get(name.upper())
        if kind is None:
            message = (
                f"{source.name}: there is no section [{section}]{near_match(name.upper(), kinds)}"
                f" (the sections are {', '.join(kinds)})"
            )
            raise ConfigurationError(message)
        full_key = f"{engine.lower()}.{key}" if engine else key
        origin = f"{source.name} [{section}] {key}"
        layer.setdefault(kind, {})[full_key] = SectionValue(value, origin)
    return layer
