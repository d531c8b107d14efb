"""An exchange is a stream that keeps a message until every queue on it is done with it."""

import json
from typing import Any, Final, cast

from asyncbackends.broker.declaring import conflict, missing_exchange
from asyncbackends.errors import ConfigurationError
from asyncbackends.protocols.messages import ExchangeKind
from asyncbackends_nats.driver_errors import NO_STREAM, OTHER_STREAM, JetStreamError
from asyncbackends_nats.names import Names
from asyncbackends_nats.pulls import NANO
from asyncbackends_nats.requests import Requests

__all__ = ("Exchanges", "kind_of")

DEDUPE_SECONDS: Final = 120
KIND: Final = "ab-kind"
DURABLE: Final = "ab-durable"


class Exchanges:
    """Makes exchanges, and says what they are."""

    def __init__(self, requests: Requests, names: Names, replicas: int) -> None:
        self.names = names
        self._requests = requests
        self._replicas = replicas

    async def create(self, name: str, *, durable: bool, kind: ExchangeKind) -> None:
        """Make an exchange, or find it made so.

        :raises DeclarationConflictError: it is there with other properties.
        """
        stream = self.names.stream(name)
        wanted = {
            "name": stream,
            "subjects": [self.names.subjects(name)],
            "retention": "interest",
            "storage": "file" if durable else "memory",
            "discard": "new",
            "max_consumers": -1,
            "max_msgs": -1,
            "max_bytes": -1,
            "num_replicas": self._replicas,
            "duplicate_window": DEDUPE_SECONDS * NANO,
            "allow_direct": True,
            "allow_msg_ttl": True,
            "metadata": {KIND: kind, DURABLE: json.dumps(durable)},
        }
        try:
            found = await self._requests.api(f"STREAM.CREATE.{stream}", wanted)
        except JetStreamError as error:
            if error.err_code != OTHER_STREAM:
                raise
            found = await self._requests.api(f"STREAM.INFO.{stream}")
        config = found["config"]
        # What is not understood is left out by a server without a word.
        if config.get("retention") != "interest" or not config.get("allow_msg_ttl"):
            message = f"stream {stream} is none of an exchange: see its retention and allow_msg_ttl"
            raise ConfigurationError(message)
        there = kind_of(config)
        if there != kind:
            raise conflict("exchange", name, "kind", kind, there)
        is_durable = config.get("storage") == "file"
        if is_durable != durable:
            raise conflict("exchange", name, "durable", durable, is_durable)

    async def kind(self, name: str, then: str) -> ExchangeKind:
        """Ask what kind an exchange is of.

        :raises ExchangeNotFoundError: it is not there; ``then`` says what follows.
        """
        try:
            found = await self._requests.api(f"STREAM.INFO.{self.names.stream(name)}")
        except JetStreamError as error:
            if error.err_code == NO_STREAM:
                raise missing_exchange(name, then) from error
            raise
        return kind_of(found["config"])

    async def delete(self, name: str) -> None:
        """Take an exchange away."""
        try:
            await self._requests.api(f"STREAM.DELETE.{self.names.stream(name)}")
        except JetStreamError as error:
            if error.err_code != NO_STREAM:
                raise


def kind_of(config: dict[str, Any]) -> ExchangeKind:
    """Read a stream's kind; a foreign one passes a message to all."""
    metadata: dict[str, str] = config.get("metadata") or {}
    kind = metadata.get(KIND)
    return cast("ExchangeKind", kind) if kind in {"fanout", "direct"} else "fanout"
