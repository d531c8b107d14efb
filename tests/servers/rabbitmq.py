"""RabbitMQ, as the machine's distribution has it."""

import contextlib
import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tests.servers.process import Process, remove
from tests.servers.rabbitmq_management import VIRTUAL_HOST, ManagedServer
from tests.servers.server import HOST, CommandFailedError

__all__ = ("RabbitMq",)

HOME = Path("/usr/lib/rabbitmq")
NODE = "rabbit@localhost"
PLUGINS = "[].\n"
# It asks nobody for a name, so it needs no helper program for that.
NAMES = '{lookup, [file]}.\n{host, {127,0,0,1}, ["localhost"]}.\n'
NO_PORT = "1"
# It listens for clients alone: a node of a known name is neither entered with a name server for
# nodes (epmd, which would outlive it) nor to be reached by others. It only wants to be told the
# port that it would have. As many schedulers as on a small machine, whatever this one has.
ARGUMENTS = (
    *("-sname", NODE),
    *("-start_epmd", "false", "-erl_epmd_port", NO_PORT, "-dist_listen", "false"),
    *("-eval", 'file:script("control.erl")'),
    *("+S", "2:2"),
)


class RabbitMq(ManagedServer):
    """One RabbitMQ server with an ordinary account and a virtual host.

    With TLS it demands it. An option is a line of its ``rabbitmq.conf``.
    """

    engine = "rabbitmq"
    product = "RabbitMQ"
    accounts = ("rabbitmq",)
    packages: ClassVar[Sequence[str]] = ("rabbitmq-server",)
    # Starting is work for the processor, which others may have.
    patience = 60

    @classmethod
    def version(cls) -> str | None:
        """The version of what is installed; None when it is not."""
        return version_under(HOME) if shutil.which("erl") else None

    @property
    def url(self) -> str:
        """Where other clients log in, without TLS; the password is in it."""
        return f"amqp://{self.username}:{self.password}@{self.endpoint}/{VIRTUAL_HOST}"

    def settings(self, **others: Any) -> dict[str, Any]:
        """Give the arguments of ``open_message_broker``."""
        return {
            "engine": self.engine,
            "endpoints": self.endpoint,
            "username": self.username,
            "password": self.password,
            "virtual_host": VIRTUAL_HOST,
            **self.tls_settings(),
            **others,
        }

    def serves(self) -> bool:
        """Say whether it has started all it has, and speaks AMQP."""
        try:
            self.evaluate("ok.", patience=1)
            with (
                socket.create_connection((HOST, self.port), timeout=1) as link,
                self._secured(link) as secured,
            ):
                # A version that there is not: it names its own, and closes the connection.
                secured.sendall(b"AMQP\0\0\0\0")
                return secured.recv(4) == b"AMQP"
        except (CommandFailedError, OSError):
            return False

    def remove(self) -> None:
        """End it and remove its data; in order it would take seconds to end."""
        self.process.kill()
        remove(self.folder)

    def _secured(self, link: socket.socket) -> contextlib.AbstractContextManager[socket.socket]:
        if self.tls is None:
            return contextlib.nullcontext(link)
        return self.tls.trusting_context().wrap_socket(link)

    def _process(self) -> Process:
        self._bring_script()
        for name, text in (
            ("rabbitmq.conf", self._configuration()),
            ("enabled_plugins", PLUGINS),
            ("inetrc", NAMES),
        ):
            file = self.folder / name
            # The account's password is in one of them.
            file.touch(mode=0o600)
            file.write_text(text, "utf-8")
            self.account.take(file)
        environment = self._environment()
        return Process(
            self.product,
            [self._home() / "bin" / "rabbitmq-server"],
            self.folder,
            self.account,
            environment,
        )

    def _home(self) -> Path:
        """Give the folder of the product."""
        return HOME

    def _environment(self) -> Mapping[str, str]:
        return {
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_MNESIA_BASE": str(self.data),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": " ".join(ARGUMENTS),
            # Room for a million takes memory.
            "RABBITMQ_MAX_NUMBER_OF_PROCESSES": "65536",
            # The script becomes the server, and does not stay to watch it.
            "RUNNING_UNDER_SYSTEMD": "true",
            "ERL_INETRC": str(self.folder / "inetrc"),
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": NO_PORT,
            "ERL_CRASH_DUMP": str(self.folder / "crash"),
        }

    def _configuration(self) -> str:
        options = {
            "default_user": self.username,
            "default_pass": self.password,
            "default_user_tags.administrator": "false",
            "default_vhost": VIRTUAL_HOST,
            "log.console": "true",
            "log.file": "false",
        }
        if self.identity is None:
            options |= {"listeners.tcp.default": self.endpoint}
        else:
            options |= {
                "listeners.tcp": "none",
                "listeners.ssl.default": self.endpoint,
                "ssl_options.certfile": str(self.identity.certificate),
                "ssl_options.keyfile": str(self.identity.key),
                "ssl_options.cacertfile": str(self.ca),
                "ssl_options.verify": "verify_peer" if self.client_certificates else "verify_none",
                "ssl_options.fail_if_no_peer_cert": str(self.client_certificates).lower(),
            }
        options |= self.options
        return "".join(f"{name} = {value}\n" for name, value in options.items())

    def _prepare(self) -> None:
        self.data.mkdir()
        self.account.take(self.data)

    def _furnish(self) -> None:
        """Nothing: account and virtual host come with the configuration, at the first start."""


def version_under(home: Path) -> str | None:
    """Give the version in this folder of the product; None when there is none."""
    found = [*home.glob("lib/rabbitmq_server-*/sbin/rabbitmq-server")]
    return found[0].parents[1].name.rpartition("-")[2] if found else None
