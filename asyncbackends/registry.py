"""Finds engines by entry point, and makes unconnected backends of them.

Built-in engines use the same door as everybody's: an entry point in the group of their kind that
names an :class:`Engine`, or ``module:attribute`` in the settings.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, metadata
from typing import Any, Generic, TypeGuard, TypeVar

import msgspec

from asyncbackends.coercion import coerced_options, coerced_value
from asyncbackends.errors import (
    ConfigurationError,
    EngineUnavailableError,
    UnknownEngineError,
)
from asyncbackends.object_model.views import near_match
from asyncbackends.options import BackendOptions
from asyncbackends.protocols.backend import Backend, Kind
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.settings import SECTIONS, SectionValue, Settings

__all__ = (
    "Engine",
    "Resolved",
    "find_engine",
    "group",
    "installed_engines",
    "load_driver",
    "resolve",
)

BackendT_co = TypeVar("BackendT_co", bound=Backend, covariant=True)
OptionsT = TypeVar("OptionsT", bound=BackendOptions)


class Engine(msgspec.Struct, Generic[OptionsT, BackendT_co], frozen=True):
    """An engine as its adapter describes it, without importing the driver.

    ``load()`` imports the driver and returns ``create(endpoints, options)``, which builds an
    unconnected backend without I/O.
    """

    kind: Kind
    name: str
    options: type[OptionsT]
    load: Callable[[], Callable[[Sequence[str], OptionsT], BackendT_co]]
    guarantees: frozenset[Guarantee]
    limits: Limits = Limits()


class Resolved(msgspec.Struct, frozen=True):
    """An engine with checked options: everything but the connection."""

    engine: Engine[Any, Any]
    endpoints: tuple[str, ...]
    options: BackendOptions
    create: Callable[[Sequence[str], Any], Any]
    require: frozenset[Guarantee]

    def backend(self) -> Any:
        """Make the unconnected backend."""
        return self.create(self.endpoints, self.options)


def group(kind: Kind) -> str:
    """Give the entry point group of a kind."""
    return f"asyncbackends.{kind.value}"


def installed_engines(kind: Kind) -> dict[str, EntryPoint]:
    """Give the entry points of a kind by name.

    :raises ConfigurationError: two distributions own the same name.
    """
    engines: dict[str, EntryPoint] = {}
    for entry_point in sorted(entry_points(group=group(kind)), key=lambda found: found.name):
        other = engines.setdefault(entry_point.name, entry_point)
        # Reading the owner's name parses a file of metadata.
        if other is entry_point:
            continue
        if _owner(other) != _owner(entry_point) or other.value != entry_point.value:
            message = (
                f"two distributions own the {kind.words} engine {entry_point.name!r}: "
                f"{_owner(other)} ({other.value}) and {_owner(entry_point)} "
                f"({entry_point.value}); uninstall one, or name module:attribute as the engine"
            )
            raise ConfigurationError(message)
    return engines


def _owner(entry_point: EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist is not None else "an unknown distribution"


def find_engine(kind: Kind, name: str) -> Engine[Any, Any]:
    """Give the engine of that name, or the one at ``module:attribute``.

    :raises UnknownEngineError: listing the installed ones, a near match, and the extra if any.
    :raises EngineUnavailableError: its adapter cannot be imported.
    """
    if ":" in name:
        entry_point = EntryPoint(name, name, group(kind))
    else:
        installed = installed_engines(kind)
        if name not in installed:
            raise _unknown(kind, name, installed)
        entry_point = installed[name]
    try:
        engine: Any = entry_point.load()
    except (ImportError, AttributeError) as error:
        message = f"the adapter of {kind.words} engine {name!r} cannot be imported: {error}"
        raise EngineUnavailableError(message) from error
    if _is_engine(engine) and engine.kind is kind:
        return engine
    message = f"{entry_point.value} is not a {kind.words} engine, but {engine!r}"
    raise ConfigurationError(message)


def _is_engine(value: object) -> TypeGuard[Engine[Any, Any]]:
    return isinstance(value, Engine)


def _unknown(kind: Kind, name: str, installed: Mapping[str, EntryPoint]) -> UnknownEngineError:
    try:
        extras = metadata("asyncbackends").get_all("Provides-Extra") or []
    except PackageNotFoundError:
        extras = []
    cure = ""
    if name in extras:
        cure = f'; pip install "asyncbackends[{name}]"'
    return UnknownEngineError(
        f"no {kind.words} engine is named {name!r}{near_match(name, installed)} "
        f"(installed: {', '.join(installed) or 'none'}){cure}"
    )


def load_driver(engine: Engine[Any, Any]) -> Callable[[Sequence[str], Any], Any]:
    """Import an engine's driver.

    :raises EngineUnavailableError: it is not installed; the message names the extra.
    """
    try:
        return engine.load()
    except ImportError as error:
        owners = [
            _owner(found) for found in entry_points(group=group(engine.kind), name=engine.name)
        ]
        distribution = owners[0] if owners else "asyncbackends"
        message = (
            f"the driver of {engine.kind.words} engine {engine.name!r} cannot be imported "
            f'({error}); pip install "{distribution}[{engine.name}]"'
        )
        raise EngineUnavailableError(message) from error


def resolve(kind: Kind, settings: Settings) -> Resolved:
    """Choose the engine, import its driver and check its options; contacts nobody.

    :raises ConfigurationError: naming the file, section and key at fault.
    """
    section = SECTIONS[kind]
    chosen = settings.value(kind, "engine")
    if chosen is None:
        reason = "has no engine" if settings.has(kind) else "is missing"
        message = f"the settings section [{section}] {reason}; give `engine = ...` there"
        raise ConfigurationError(message)
    if not isinstance(chosen.value, str) or not chosen.value:
        message = f"{chosen.origin}: an engine is named by text, not {chosen.value!r}"
        raise ConfigurationError(message)
    try:
        engine = find_engine(kind, chosen.value)
        create = load_driver(engine)
    except ConfigurationError as error:
        error.args = (f"{chosen.origin}: {error}",)
        raise
    values = settings.merged(kind, engine.name)
    del values["engine"]
    endpoints = values.pop("endpoints", SectionValue("", ""))
    require = values.pop("require", SectionValue("", ""))
    return Resolved(
        engine,
        tuple(coerced_value(endpoints, list[str], "endpoints")),
        coerced_options(engine.options, values),
        create,
        _required(require),
    )


def _required(value: SectionValue) -> frozenset[Guarantee]:
    names = coerced_value(value, list[str], "require")
    known = [guarantee.value for guarantee in Guarantee]
    for name in names:
        if name not in known:
            message = f"{value.origin}: there is no guarantee {name!r}{near_match(name, known)}"
            raise ConfigurationError(message)
    return frozenset(map(Guarantee, names))
