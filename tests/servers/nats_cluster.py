"""Three NATS servers that keep each stream three times, if it asks for that."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.servers.ensemble import Ensemble
from tests.servers.nats import Nats
from tests.servers.process import free_port
from tests.servers.server import HOST, CommandFailedError

__all__ = ("NatsCluster", "NatsNode")

NAMES = ("one", "two", "three")
PROBE = {"name": "probe", "subjects": ["tests.probe"], "num_replicas": len(NAMES)}


class NatsNode(Nats):
    """One server of a cluster; it counts as started when it greets, for JetStream needs two."""

    def __init__(self, name: str, **arguments: Any) -> None:
        """Choose ports, folder and account; nothing runs yet."""
        self.name = name
        self.route_port = free_port()
        self.routes: list[str] = []
        super().__init__(**arguments)

    @property
    def route(self) -> str:
        """Where its peers find it."""
        return f"nats-route://{HOST}:{self.route_port}"

    def serves(self) -> bool:
        """Say whether it takes connections."""
        try:
            self.ask("$JS.API.INFO", patience=0.1)
        except CommandFailedError as error:
            # Nobody leads yet, but it took the request.
            return isinstance(error.__cause__, TimeoutError) or "HMSG" in str(error)
        return True

    def _configuration(self) -> Iterator[str]:
        yield from super()._configuration()
        yield f"server_name: {self.name}"
        routes = ", ".join(self.routes)
        listen = f"{HOST}:{self.route_port}"
        yield f"cluster {{ name: tests, listen: {listen}, routes: [{routes}] }}"


class NatsCluster(Ensemble[NatsNode]):
    """Three servers; ``with`` starts them, and ends them and removes their data.

    ``members["one"].kill()`` and all else that a server has; their names are the ones NATS gives.
    """

    def __init__(self, **arguments: Any) -> None:
        """Choose ports, folders and accounts; nothing runs yet. Arguments as for Nats."""
        super().__init__({name: NatsNode(name, **arguments) for name in NAMES})
        first = self.members[NAMES[0]]
        for node in self.members.values():
            node.share_login(first)
            node.routes = [each.route for each in self.members.values() if each is not node]

    def start(self, *, patience: float = 30) -> None:
        """Start those that do not run; returns when a stream can be made on all of them."""
        for node in self.members.values():
            if not node.is_running:
                node.start()
        node = self.members[NAMES[0]]
        self._until(lambda: _says(node, f"$JS.API.STREAM.CREATE.{PROBE['name']}", PROBE), patience)
        self.ask(f"$JS.API.STREAM.DELETE.{PROBE['name']}", patience=patience)

    def ask(
        self, subject: str, content: Mapping[str, Any] | None = None, *, patience: float = 30
    ) -> dict[str, Any]:
        """Request something of the first that answers without an error."""

        def answer() -> dict[str, Any] | None:
            said = (_says(node, subject, content) for node in self._running())
            return next(filter(None, said), None)

        return self._until(answer, patience)

    def leader_of(self, stream: str, *, patience: float = 30) -> str:
        """Name the server that leads a stream; while there is none, it waits."""
        subject = f"$JS.API.STREAM.INFO.{stream}"
        dead = {name for name, node in self.members.items() if not node.is_running}

        def leader() -> str | None:
            named: str = self.ask(subject, patience=patience)["cluster"].get("leader", "")
            return named if named and named not in dead else None

        return self._until(leader, patience)

    def wait_for_copies(self, stream: str, *, patience: float = 30) -> None:
        """Wait until every copy of a stream has all that is in it."""
        subject = f"$JS.API.STREAM.INFO.{stream}"

        def complete() -> bool:
            copies = self.ask(subject, patience=patience)["cluster"].get("replicas", [])
            return all(copy["current"] and not copy.get("offline") for copy in copies)

        self._until(complete, patience)

    def _running(self) -> list[NatsNode]:
        return [node for node in self.members.values() if node.is_running]


def _says(
    node: NatsNode, subject: str, content: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """Give an answer that is no error; None without."""
    try:
        said = node.ask(subject, content, patience=0.5)
    except CommandFailedError:
        return None
    return None if "error" in said else said
