"""Where the demo takes place: what the settings name, and a place of its own for every other kind."""

import json
import os
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec

from asyncbackends.cli.bystander import without_consuming
from asyncbackends.opening import Opener
from asyncbackends.protocols.backend import Kind
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.coordination import DistributedCoordinationService
from asyncbackends.protocols.message_broker import MessageBroker
from asyncbackends.registry import Resolved, resolve
from asyncbackends.settings import SECTIONS, Settings, load_settings

__all__ = ("Ground", "found_ground")

OWN_GROUND: Final = """\
[DATABASE]
engine = "sqlite"
endpoints = {database}
[MESSAGE_BROKER]
engine = "memory"
endpoints = {name}
[DISTRIBUTED_COORDINATION]
engine = "memory"
endpoints = {name}
"""


class Ground(msgspec.Struct, frozen=True):
    """The engines of all kinds; every opener of a kind opens the same one."""

    resolved: Mapping[Kind, Resolved]
    settings: Settings
    """What somebody configured."""
    files: list[str]
    """Settings of the database for another process, and its environment."""
    environment: dict[str, str]

    def is_own(self, kind: Kind) -> bool:
        """Say whether nothing but the demo is there, and all of it goes away."""
        return not self.settings.has(kind)

    def database(self) -> Opener[ConfigDatabase]:
        """Open the database."""
        return Opener(self.resolved[Kind.CONFIG_DATABASE])

    def broker(self) -> Opener[MessageBroker]:
        """Open the broker, as one more client."""
        return Opener(self.resolved[Kind.MESSAGE_BROKER])

    def coordination(self) -> Opener[DistributedCoordinationService]:
        """Open the coordination service, as one more client."""
        return Opener(self.resolved[Kind.COORDINATION])

    def words(self, kind: Kind) -> str:
        """Say where a kind takes place."""
        engine = self.resolved[kind].engine.name
        if not self.is_own(kind):
            return f"{kind.words}: {engine}, as the settings say"
        place = "in a temporary folder" if kind is Kind.CONFIG_DATABASE else "in this process"
        absent = f"; the settings have no [{SECTIONS[kind]}]" if self.settings.layers else ""
        return f"{kind.words}: {engine} {place}{absent}"


@contextmanager
def found_ground(conf_files: Sequence[str]) -> Generator[Ground]:
    """Read the settings, and make a place for the kinds that they have no section for.

    Without files no other settings are looked at. It reads files: not for a coroutine.
    """
    settings = load_settings(conf_files, os.environ) if conf_files else Settings()
    with tempfile.TemporaryDirectory(prefix="asyncbackends-demo-") as folder:
        own_file = Path(folder, "demo.toml")
        database = json.dumps([str(Path(folder, "demo.db"))])
        name = json.dumps(f"demo-{uuid4().hex}")
        own_file.write_text(OWN_GROUND.format(database=database, name=name), "utf-8")
        own = load_settings([own_file])
        yield Ground(
            {
                kind: without_consuming(resolve(kind, settings if settings.has(kind) else own))
                for kind in Kind
            },
            settings,
            [*conf_files] if settings.has(Kind.CONFIG_DATABASE) else [str(own_file)],
            {
                variable: text
                for variable, text in os.environ.items()
                # In its own place they would lead elsewhere: only the file counts there.
                if settings.has(Kind.CONFIG_DATABASE) or not variable.startswith("ASYNCBACKENDS_")
            },
        )
