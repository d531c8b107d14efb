"""What tests ask of a RabbitMQ server, or do to it, behind its clients' back.

``rabbitmqctl`` starts an Erlang of its own for each call, which takes a second. Here the server
evaluates what it is sent over a socket in its folder: a call takes a few milliseconds, and a
password is in no process list.
"""

import json
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.server import CommandFailedError, Server

__all__ = ("VIRTUAL_HOST", "ManagedServer", "ServerConnection")

VIRTUAL_HOST = "tests"
SCRIPT = Path(__file__).with_name("rabbitmq_control.erl")
EVERYTHING = ".*"
ACTOR = '<<"tests">>'
# What a client calls its connection is one of its properties.
OPEN = """\
Open = [
    begin
        #{client_properties := Given} = Facts = maps:from_list(Each),
        Name = [Text || {<<"connection_name">>, longstr, Text} <- Given],
        maps:put(name, iolist_to_binary(Name), maps:remove(client_properties, Facts))
    end
    || Each <- rabbit_networking:connection_info_all(
        [pid, user, state, channels, peer_port, client_properties]
    )
]"""


@dataclass(frozen=True)
class ServerConnection:
    """A client's connection, as the server sees it."""

    name: str
    """What the client calls it; empty when it does not."""
    user: str
    state: str
    """``running``; ``blocked`` when it published under an alarm."""
    channels: int
    port: int
    """The client's."""


class ManagedServer(Server):
    """A RabbitMQ server that can be looked into. Names are as the server has them."""

    def evaluate(self, expression: str, *, patience: float = 10) -> str:
        """Have the server evaluate Erlang; give a binary as it is, all else as Erlang writes it."""
        text = expression.encode()
        try:
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(patience)
                link.connect(str(self.folder / "control"))
                link.sendall(len(text).to_bytes(4) + text)
                with link.makefile("rb") as stream:
                    said = stream.read(int.from_bytes(stream.read(4))).decode()
        except OSError as error:
            raise CommandFailedError(f"{self} takes no orders: {error}") from error
        if not said.startswith("+"):
            # Not the expression: a password may be in it.
            raise CommandFailedError(f"{self} refuses: {said.removeprefix('-')}")
        return said.removeprefix("+")

    def queues(self) -> list[str]:
        """Name the queues there are."""
        return self._names(f"rabbit_amqqueue:list_names({_text(VIRTUAL_HOST)})")

    def exchanges(self) -> list[str]:
        """Name the exchanges there are, the server's own (``amq.``...) among them."""
        return self._names(
            f"[element(2, Each) || Each <- rabbit_exchange:list({_text(VIRTUAL_HOST)})]"
        )

    def queue(self, name: str) -> dict[str, Any]:
        """Give ``messages_ready``, ``messages_unacknowledged``, ``consumers`` of a queue."""
        items = "[messages_ready, messages_unacknowledged, consumers]"
        facts: dict[str, Any] = self._json(
            f"{{ok, Queue}} = rabbit_amqqueue:lookup({_resource('queue', name)}),"
            f" maps:from_list(rabbit_amqqueue:info(Queue, {items}))"
        )
        return facts

    def delete_queue(self, name: str) -> None:
        """Delete a queue with all that is in it; its consumers are told so."""
        self.evaluate(
            f"{{ok, Queue}} = rabbit_amqqueue:lookup({_resource('queue', name)}),"
            f" {{ok, _}} = rabbit_amqqueue:delete(Queue, false, false, {ACTOR})."
        )

    def delete_exchange(self, name: str) -> None:
        """Delete an exchange with its bindings."""
        self.evaluate(
            f"ok = rabbit_exchange:delete({_resource('exchange', name)}, false, {ACTOR})."
        )

    def connections(self) -> list[ServerConnection]:
        """Give the connections of clients."""
        found = self._json(f"{OPEN}, [maps:remove(pid, Each) || Each <- Open]")
        return [
            ServerConnection(
                name=each["name"],
                user=each["user"],
                state=each["state"],
                channels=each["channels"],
                port=each["peer_port"],
            )
            for each in found
        ]

    def close_connections(self, reason: str, *, name: str | None = None) -> int:
        """Close the connections that bear this name, or all, as an operator does; say how many."""
        wanted = "_" if name is None else _text(name)
        return int(
            self.evaluate(
                f"{OPEN}, Reason = unicode:characters_to_list({_text(reason)}),"
                " length([rabbit_networking:close_connection(Pid, Reason)"
                f" || #{{pid := Pid, name := {wanted}}} <- Open])."
            )
        )

    def set_alarm(self) -> None:
        """Let it find itself out of memory: it blocks every connection that publishes."""
        self._watermark("0.00001", alarms="[_ | _]")

    def clear_alarm(self) -> None:
        """Let it find that it has memory enough."""
        usual = "element(2, application:get_env(rabbit, vm_memory_high_watermark))"
        self._watermark(usual, alarms="[]")

    def add_user(
        self,
        name: str,
        password: str,
        *,
        configure: str = EVERYTHING,
        write: str = EVERYTHING,
        read: str = EVERYTHING,
    ) -> None:
        """Make an account; what it may do is patterns of names, the empty one allows nothing."""
        user = _text(name)
        self.evaluate(
            f"ok = rabbit_auth_backend_internal:add_user({user}, {_text(password)}, {ACTOR})."
        )
        self.set_permissions(name, configure=configure, write=write, read=read)

    def set_permissions(
        self,
        name: str,
        *,
        configure: str = EVERYTHING,
        write: str = EVERYTHING,
        read: str = EVERYTHING,
    ) -> None:
        """Say what an account may do; an open channel goes on with what it has done before."""
        patterns = ", ".join(_text(pattern) for pattern in (configure, write, read))
        self.evaluate(
            "ok = rabbit_auth_backend_internal:set_permissions("
            f"{_text(name)}, {_text(VIRTUAL_HOST)}, {patterns}, {ACTOR})."
        )

    def change_password(self, name: str, password: str) -> None:
        """Give an account another password; its connections stay."""
        self.evaluate(
            "ok = rabbit_auth_backend_internal:change_password("
            f"{_text(name)}, {_text(password)}, {ACTOR})."
        )

    def delete_user(self, name: str) -> None:
        """Delete an account; its connections are closed."""
        self.evaluate(f"ok = rabbit_auth_backend_internal:delete_user({_text(name)}, {ACTOR}).")

    def _watermark(self, mark: str, *, alarms: str) -> None:
        self.evaluate(
            f"ok = vm_memory_monitor:set_vm_memory_high_watermark({mark}),"
            f" {alarms} = rabbit_alarm:get_alarms()."
        )

    def _names(self, resources: str) -> list[str]:
        names: list[str] = self._json(f"[element(4, Each) || Each <- {resources}]")
        return sorted(names)

    def _json(self, expression: str) -> Any:
        return json.loads(self.evaluate(f"rabbit_json:encode(begin {expression} end)."))

    def _bring_script(self) -> None:
        self.account.take(Path(shutil.copy(SCRIPT, self.folder / "control.erl")))


def _text(value: str) -> str:
    """Give a text as an Erlang binary, whatever is in it."""
    return f"<<{','.join(map(str, value.encode()))}>>"


def _resource(kind: str, name: str) -> str:
    return f"rabbit_misc:r({_text(VIRTUAL_HOST)}, {kind}, {_text(name)})"
