"""ZooKeeper, as the machine's distribution has it."""

import base64
import hashlib
import re
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tests.servers.process import Process, free_port
from tests.servers.server import HOST, CommandFailedError, Server, first_program

__all__ = ("ZooKeeper", "ZooKeeperSet")

JARS = Path("/usr/share/java")
MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
SUPER = "super"
LOGGING = """\
log4j.rootLogger=WARN, CONSOLE
log4j.appender.CONSOLE=org.apache.log4j.ConsoleAppender
log4j.appender.CONSOLE.layout=org.apache.log4j.PatternLayout
log4j.appender.CONSOLE.layout.ConversionPattern=%d %p %c: %m%n
"""
LOGBACK = """\
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %level %logger: %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
"""

ZooKeeperSet = Mapping[int, str]
"""The members of an ensemble: their numbers, and where peers find them, host:port:port."""


class ZooKeeper(Server):
    """One ZooKeeper server; options are named as in its configuration file.

    With TLS it offers TLS alone. Who logs in as ``super`` may do anything.
    """

    engine = "zookeeper"
    product = "ZooKeeper"
    accounts = ("zookeeper",)
    packages: ClassVar[Sequence[str]] = ("zookeeper", "libnetty-java")

    def __init__(self, *, number: int = 1, **arguments: Any) -> None:
        """Choose ports, folder and account; nothing runs yet."""
        self.number = number
        self.quorum_port = free_port()
        self.election_port = free_port()
        self.ensemble: ZooKeeperSet = {}
        """All members, of which this is one; empty when it is alone."""
        self.super_password = secrets.token_urlsafe(18)
        super().__init__(**arguments)

    @classmethod
    def version(cls) -> str | None:
        """The version of what is installed; None when it is not."""
        if first_program("java") is None:
            return None
        names = (jar.name for jar in JARS.glob("zookeeper-*.jar"))
        found = (re.fullmatch(r"zookeeper-(\d+\.\d+\.\d+)\.jar", name) for name in names)
        return next((one[1] for one in found if one), None)

    @property
    def peer(self) -> str:
        """Where its peers find it."""
        return f"{HOST}:{self.quorum_port}:{self.election_port}"

    def settings(self, **others: Any) -> dict[str, Any]:
        """Give the arguments of ``open_coordination``."""
        return {
            "engine": self.engine,
            "endpoints": self.endpoint,
            **self.tls_settings(),
            **others,
        }

    def say(self, word: str, *, patience: float = 1) -> str:
        """Send one of its words of four letters; give what it answers.

        :raises CommandFailedError: it does not answer.
        """
        try:
            with socket.create_connection((HOST, self.port), timeout=patience) as plain:
                link = plain
                if self.tls is not None:
                    link = self.tls.trusting_context().wrap_socket(plain)
                with link:
                    link.sendall(word.encode())
                    with link.makefile("rb") as stream:
                        return stream.read().decode()
        except OSError as error:
            raise CommandFailedError(f"{self} does not answer: {error}") from error

    def mode(self) -> str | None:
        """Give ``standalone``, ``leader`` or ``follower``; None while it serves nobody."""
        try:
            found = re.search(r"^Mode: (\w+)", self.say("srvr"), re.MULTILINE)
        except CommandFailedError:
            return None
        return found[1] if found else None

    def sessions(self) -> Sequence[str]:
        """Give the ids of the sessions that it knows, as hexadecimal digits."""
        return re.findall(r"^\t0x([0-9a-f]+)$", self.say("dump"), re.MULTILINE)

    def serves(self) -> bool:
        """Say whether it serves clients."""
        return self.mode() is not None

    def start(self) -> None:
        """Start it on the data it has; the first start makes them."""
        self._configure()
        super().start()

    def _classpath(self) -> Sequence[str]:
        return [str(JARS / "zookeeper.jar"), str(JARS / "*")]

    def _process(self) -> Process:
        java = first_program("java")
        if java is None:
            raise FileNotFoundError(f"{self.product} is not installed")
        digest = base64.b64encode(
            hashlib.sha1(f"{SUPER}:{self.super_password}".encode()).digest()  # noqa: S324  # its own scheme
        ).decode()
        # It begins in half of the time so, and never wants more.
        quick = ["-Xms32m", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        properties = {
            "zookeeper.DigestAuthenticationProvider.superDigest": f"{SUPER}:{digest}",
            "java.net.preferIPv4Stack": "true",
            "zookeeper.jmx.log4j.disable": "true",
            "zookeeper.forceSync": "yes" if self.durable else "no",
            "jute.maxbuffer": str(4 * 1024 * 1024),
        }
        if self.tls is not None:
            properties["zookeeper.serverCnxnFactory"] = (
                "org.apache.zookeeper.server.NettyServerCnxnFactory"
            )
        command: list[str | Path] = [
            java,
            *quick,
            *(f"-D{name}={value}" for name, value in properties.items()),
            "-cp",
            ":".join([str(self.folder), *self._classpath()]),
            MAIN,
            self._configuration_file,
        ]
        return Process(self.product, command, self.folder, self.account)

    @property
    def _configuration_file(self) -> Path:
        return self.folder / "zoo.cfg"

    def _configure(self) -> None:
        for name, text in (
            (self._configuration_file.name, "\n".join(self._configuration())),
            ("log4j.properties", LOGGING),
            ("logback.xml", LOGBACK),
        ):
            (self.folder / name).write_text(text + "\n", "utf-8")
            self.account.take(self.folder / name)

    def _configuration(self) -> Iterator[str]:
        values = {
            "tickTime": "500",
            "initLimit": "20",
            "syncLimit": "10",
            "dataDir": str(self.data),
            "admin.enableServer": "false",
            "maxClientCnxns": "0",
            "4lw.commands.whitelist": "*",
            "minSessionTimeout": "1000",
            "maxSessionTimeout": "60000",
        }
        if self.identity is None:
            values |= {"clientPort": str(self.port), "clientPortAddress": HOST}
        else:
            values |= {
                "secureClientPort": str(self.port),
                "secureClientPortAddress": HOST,
                "ssl.keyStore.location": str(self.folder / "key-store.pem"),
                "ssl.keyStore.type": "PEM",
                "ssl.trustStore.location": str(self.ca),
                "ssl.trustStore.type": "PEM",
                "ssl.clientAuth": "need" if self.client_certificates else "none",
            }
        yield from (f"{name}={value}" for name, value in (values | self.options).items())
        yield from (f"server.{number}={peer}" for number, peer in self.ensemble.items())

    def _prepare(self) -> None:
        self.data.mkdir()
        (self.data / "myid").write_text(f"{self.number}\n", "utf-8")
        if self.identity is not None:
            store = self.folder / "key-store.pem"
            store.touch(mode=0o600)
            pem = self.identity.key.read_text("utf-8") + self.identity.certificate.read_text(
                "utf-8"
            )
            store.write_text(pem, "utf-8")
            self.account.take(store)
        for path in (self.data, self.data / "myid"):
            self.account.take(path)

    def _furnish(self) -> None:
        pass
