"""RabbitMQ unpacked from Debian's newest packages, with the Erlang that it needs."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from tests.servers.process import Process
from tests.servers.rabbitmq import RabbitMq, version_under
from tests.servers.sid import Unpacked, cache_folder, unpack

__all__ = ("RabbitMqNewest",)

PACKAGES = ("rabbitmq-server",)
KEEP = (
    "usr/lib/erlang",
    "usr/lib/rabbitmq",
    "usr/lib/*/lib*.so.*",
    "usr/lib/*/ossl-modules",
    "usr/lib/*/ld-linux-*",
)
HELPERS = ("beam.smp", "erl_child_setup", "inet_gethost")


class RabbitMqNewest(RabbitMq):
    """One RabbitMQ server of the newest version there is."""

    packages: ClassVar[Sequence[str]] = ()

    @classmethod
    def version(cls) -> str | None:
        """The version of what is installed; None when it is not."""
        return version_under(_unpacked().path("usr/lib/rabbitmq"))

    @classmethod
    def install(cls) -> None:
        """Put into the cache what apt cannot install."""
        if not _unpacked().is_there:
            unpack(_unpacked().root, PACKAGES, KEEP)

    def _process(self) -> Process:
        self._programs = _unpacked().for_account(self.account, self.folder)
        self._bring_programs()
        return super()._process()

    def _home(self) -> Path:
        return self._programs.path("usr/lib/rabbitmq")

    def _environment(self) -> Mapping[str, str]:
        return {**super()._environment(), "PATH": f"{self._folder_of_programs}:/usr/bin:/bin"}

    @property
    def _folder_of_programs(self) -> Path:
        return self.folder / "bin"

    def _bring_programs(self) -> None:
        """Let Erlang start its programs by the linker they were made for, not the machine's."""
        root = self._programs.path("usr/lib/erlang")
        [programs] = root.glob("erts-*/bin")
        own = self._folder_of_programs
        own.mkdir()
        variables = {"ROOTDIR": root, "BINDIR": own, "EMU": "beam", "PROGNAME": "erl"}
        lines = [f"export {name}={shlex.quote(str(value))}" for name, value in variables.items()]
        self._script("erl", programs / "erlexec", lines)
        for name in HELPERS:
            self._script(name, programs / name)
        self.account.take(own)

    def _script(self, name: str, program: Path, lines: Sequence[str] = ()) -> None:
        command = self._programs.command(str(program.relative_to(self._programs.root)))
        run = f'exec {shlex.join(map(str, command))} "$@"'
        script = self._folder_of_programs / name
        script.write_text("\n".join(["#!/bin/sh", *lines, run, ""]), "utf-8")
        script.chmod(0o755)


def _unpacked() -> Unpacked:
    return Unpacked(cache_folder() / "rabbitmq")
