"""Opens backends: ``async with open_config_database(...) as db``, and the same for the others."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from asyncbackends.errors import ConfigurationError
from asyncbackends.protocols.backend import Backend, Kind
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.coordination import DistributedCoordinationService
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.registry import Resolved, resolve
from asyncbackends.schema import Schema
from asyncbackends.settings import SECTIONS, Settings, SettingsLike, settings_from

__all__ = (
    "Backends",
    "Opener",
    "open_backends",
    "open_config_database",
    "open_coordination",
    "open_message_broker",
)

BackendT = TypeVar("BackendT", bound=Backend)


class Opener(Generic[BackendT]):
    """Connects on entering the block and shuts down on leaving it; the ends may be in two tasks."""

    def __init__(self, resolved: Resolved) -> None:
        self.resolved = resolved
        self._backend: BackendT | None = None

    async def __aenter__(self) -> BackendT:
        """Connect.

        :raises ConfigurationError: a guarantee of ``require`` does not hold; or not under asyncio.
        :raises ConnectionFailedError: no endpoint answered.
        """
        _require_asyncio()
        if self._backend is not None:
            message = "an opener opens once; call open_... again"
            raise ConfigurationError(message)
        backend: BackendT = self.resolved.backend()
        await backend.connect()
        missing = self.resolved.require - backend.guarantees
        if missing:
            await backend.shutdown(grace=0)
            message = (
                f"the {self.resolved.engine.kind.words} engine {backend.engine!r} does not give "
                f"{', '.join(sorted(missing))}, which the settings require"
            )
            raise ConfigurationError(message)
        self._backend = backend
        return backend

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Shut down."""
        if self._backend is not None:
            await self._backend.shutdown()


def _require_asyncio() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        message = (
            "asyncbackends runs on asyncio, which every driver needs; there is no running loop"
        )
        raise ConfigurationError(message) from None


def open_config_database(
    settings: SettingsLike | None = None,
    *,
    engine: str | None = None,
    endpoints: str | Sequence[str] | None = None,
    schema: Schema | str | os.PathLike[str] | None = None,
    require: str | Sequence[str] | None = None,
    **options: Any,
) -> Opener[ConfigDatabase]:
    """Give an async context manager of an open configuration database.

    :param settings: Settings, a mapping of the shape of a settings file, or paths of files; with
        paths the environment counts too.
    :param engine: and the other arguments: over the settings.
    :param endpoints: where the engine is; see the engine's page.
    :param schema: a Schema, or the path of one; None uses the stored one.
    :param require: guarantees that must hold.
    :param options: options of the engine.
    :raises ConfigurationError: at once, for whatever is wrong with them; nothing is contacted yet.
    """
    return Opener(
        _resolved(
            Kind.CONFIG_DATABASE,
            settings,
            engine=engine,
            endpoints=endpoints,
            schema=schema,
            require=require,
            **options,
        )
    )


def open_message_broker(
    settings: SettingsLike | None = None,
    *,
    engine: str | None = None,
    endpoints: str | Sequence[str] | None = None,
    require: str | Sequence[str] | None = None,
    **options: Any,
) -> Opener[MessageBroker]:
    """Give an async context manager of an open message broker.

    The arguments are those of :func:`open_config_database`, but for the schema.

    :raises ConfigurationError: at once, for whatever is wrong with them; nothing is contacted yet.
    """
    return Opener(
        _resolved(
            Kind.MESSAGE_BROKER,
            settings,
            engine=engine,
            endpoints=endpoints,
            require=require,
            **options,
        )
    )


def open_coordination(
    settings: SettingsLike | None = None,
    *,
    engine: str | None = None,
    endpoints: str | Sequence[str] | None = None,
    require: str | Sequence[str] | None = None,
    **options: Any,
) -> Opener[DistributedCoordinationService]:
    """Give an async context manager of an open coordination service.

    The arguments are those of :func:`open_config_database`, but for the schema.

    :raises ConfigurationError: at once, for whatever is wrong with them; nothing is contacted yet.
    """
    return Opener(
        _resolved(
            Kind.COORDINATION,
            settings,
            engine=engine,
            endpoints=endpoints,
            require=require,
            **options,
        )
    )


def _resolved(kind: Kind, settings: SettingsLike | None, **arguments: Any) -> Resolved:
    given = {name: value for name, value in arguments.items() if value is not None}
    read = settings_from({} if settings is None else settings, os.environ)
    return resolve(kind, read.over(kind, given))


class Backends:
    """The backends that the settings have a section for."""

    def __init__(self, settings: Settings) -> None:
        self._openers: dict[Kind, Opener[Any]] = {
            kind: Opener(resolve(kind, settings)) for kind in Kind if settings.has(kind)
        }
        self._backends: dict[Kind, Any] = {}
        self._stack = AsyncExitStack()

    @property
    def database(self) -> ConfigDatabase:
        """The configuration database.

        :raises ConfigurationError: the settings have no section for it.
        """
        database: ConfigDatabase = self._backend(Kind.CONFIG_DATABASE)
        return database

    @property
    def broker(self) -> MessageBroker:
        """The message broker.

        :raises ConfigurationError: the settings have no section for it.
        """
        broker: MessageBroker = self._backend(Kind.MESSAGE_BROKER)
        return broker

    @property
    def coordination(self) -> DistributedCoordinationService:
        """The coordination service.

        :raises ConfigurationError: the settings have no section for it.
        """
        coordination: DistributedCoordinationService = self._backend(Kind.COORDINATION)
        return coordination

    def _backend(self, kind: Kind) -> Any:
        if kind not in self._openers:
            message = (
                f"the settings have no section [{SECTIONS[kind]}], so there is no {kind.words}"
            )
            raise ConfigurationError(message)
        if kind not in self._backends:
            message = f"the {kind.words} is open only inside the `async with` block"
            raise ConfigurationError(message)
        return self._backends[kind]

    async def __aenter__(self) -> Self:
        """Connect all, one after the other; when one fails, the others are shut down again."""
        async with AsyncExitStack() as stack:
            for kind, opener in self._openers.items():
                self._backends[kind] = await stack.enter_async_context(opener)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Shut all down, the last one first."""
        self._backends.clear()
        await self._stack.aclose()


def open_backends(settings: SettingsLike) -> Backends:
    """Give an async context manager of all backends that the settings name.

    :param settings: Settings, a mapping of the shape of a settings file, or paths of files; with
        paths the environment counts too.
    :raises ConfigurationError: at once, for whatever is wrong with them; nothing is contacted yet.
    """
    return Backends(settings_from(settings, os.environ))
