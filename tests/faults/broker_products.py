"""What tests do to a broker behind its clients' back, and see of them, by product."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.request import urlopen

import aiormq

from tests.servers.nats import Nats
from tests.servers.nats_faults import nats_token
from tests.servers.process import free_port
from tests.servers.rabbitmq import RabbitMq
from tests.servers.server import HOST, Server

__all__ = ("BrokerProduct", "SeenConnection", "fresh_arguments", "product_for", "stream_of")

# Its types leave gaps.
nats: Any = import_module("nats")


@dataclass(frozen=True)
class SeenConnection:
    """A client's connection as the server sees it; equal only to itself."""

    identity: str
    name: str
    inside: int
    """Channels or subscriptions."""


class BrokerProduct(ABC):
    """What is no coroutine blocks. Exchanges and queues are named as clients of a namespace do."""

    @abstractmethod
    def connections(self) -> list[SeenConnection]:
        """Give the connections that the server sees of us."""

    @abstractmethod
    def delete_queue(self, namespace: str, exchange: str, queue: str) -> None:
        """Delete a queue or consumer, and nothing else."""

    @abstractmethod
    def delete_exchange(self, namespace: str, exchange: str) -> None:
        """Delete an exchange or stream as others do."""

    @abstractmethod
    def waiting(self, namespace: str, exchange: str, queue: str) -> int:
        """Count the messages of a queue that nobody acked."""

    @abstractmethod
    async def publish(self, namespace: str, exchange: str) -> None:
        """Publish a message by the driver alone, and wait until it is confirmed."""

    @abstractmethod
    def change_password(self, password: str) -> None:
        """Give the account another password, and end its connections."""


def product_for(server: Server) -> BrokerProduct:
    """Give what can be done to this server."""
    if isinstance(server, RabbitMq):
        return RabbitMqProduct(server)
    assert isinstance(server, Nats)
    return NatsProduct(server)


def fresh_arguments(engine: str, **options: str) -> dict[str, Any]:
    """Give the arguments of a server that demands a login, and can be looked into."""
    if engine == "nats":
        monitor = {"http": f'"{HOST}:{free_port()}"'}
        return {"accounts": True, "options": {**monitor, **options}}
    return {"options": options}


class RabbitMqProduct(BrokerProduct):
    """RabbitMQ evaluates what tests ask."""

    def __init__(self, server: RabbitMq) -> None:
        self.server = server

    def connections(self) -> list[SeenConnection]:
        return [
            SeenConnection(str(one.port), one.name, one.channels)
            for one in self.server.connections()
        ]

    def delete_queue(self, namespace: str, exchange: str, queue: str) -> None:
        self.server.delete_queue(f"{namespace}.{queue}")

    def delete_exchange(self, namespace: str, exchange: str) -> None:
        self.server.delete_exchange(f"{namespace}.{exchange}")

    def waiting(self, namespace: str, exchange: str, queue: str) -> int:
        found = self.server.queue(f"{namespace}.{queue}")
        return int(found["messages_ready"]) + int(found["messages_unacknowledged"])

    async def publish(self, namespace: str, exchange: str) -> None:
        connection = await aiormq.connect(self.server.url)
        try:
            channel = await connection.channel()
            await channel.basic_publish(b"", exchange=f"{namespace}.{exchange}")
        finally:
            await connection.close()

    def change_password(self, password: str) -> None:
        self.server.change_password(self.server.username, password)
        self.server.close_connections("the password was changed")


class NatsProduct(BrokerProduct):
    """NATS tells of its connections by HTTP, and of streams by its own protocol."""

    def __init__(self, server: Nats) -> None:
        self.server = server

    def connections(self) -> list[SeenConnection]:
        address = json.loads(self.server.options["http"])
        with urlopen(f"http://{address}/connz?limit=10000", timeout=5) as answer:
            found: Any = json.load(answer)
        return [
            SeenConnection(str(one["cid"]), one.get("name", ""), one["subscriptions"])
            for one in found["connections"]
        ]

    def delete_queue(self, namespace: str, exchange: str, queue: str) -> None:
        self._ask(f"CONSUMER.DELETE.{stream_of(namespace, exchange)}.{nats_token(queue)}")

    def delete_exchange(self, namespace: str, exchange: str) -> None:
        self._ask(f"STREAM.DELETE.{stream_of(namespace, exchange)}")

    def waiting(self, namespace: str, exchange: str, queue: str) -> int:
        found = self._ask(f"CONSUMER.INFO.{stream_of(namespace, exchange)}.{nats_token(queue)}")
        return int(found["num_pending"]) + int(found["num_ack_pending"])

    async def publish(self, namespace: str, exchange: str) -> None:
        server = self.server
        subject = ".".join(("ab", *map(nats_token, (namespace, exchange, ""))))
        client = await nats.connect(
            f"nats://{server.endpoint}", user=server.username, password=server.password
        )
        try:
            await client.jetstream().publish(subject)
        finally:
            await client.close()

    def change_password(self, password: str) -> None:
        self.server.change_password(self.server.username, password)

    def _ask(self, operation: str) -> Mapping[str, Any]:
        answer = self.server.ask(f"$JS.API.{operation}", patience=5)
        assert "error" not in answer, f"{operation}: {answer['error']}"
        return answer


def stream_of(namespace: str, exchange: str) -> str:
    """Name the stream of an exchange, as NATS has it."""
    return f"AB-{nats_token(namespace)}-{nats_token(exchange)}"
