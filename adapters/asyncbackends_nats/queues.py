"""Consumers as JetStream's API has them."""

from typing import Any, Final

from asyncbackends_nats.driver_errors import NO_CONSUMER, NO_STREAM, JetStreamError
from asyncbackends_nats.requests import Requests

__all__ = ("MAKER", "QUEUE", "RECORD", "Queues", "metadata_of")

RECORD: Final = "ab-record"
"""In a consumer's metadata: the number of its queue's record."""
MAKER: Final = "ab-maker"
"""The mark of who ordered it."""
QUEUE: Final = "ab-queue"


class Queues:
    """Looks for consumers and deletes them."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    async def find(self, stream: str, name: str) -> dict[str, Any] | None:
        """Give what the server says of a consumer, None if it is not there."""
        try:
            return await self._requests.api(f"CONSUMER.INFO.{stream}.{name}")
        except JetStreamError as error:
            if error.err_code in {NO_CONSUMER, NO_STREAM}:
                return None
            raise

    async def delete(self, stream: str, name: str) -> None:
        """Delete a consumer, if it is there."""
        try:
            await self._requests.api(f"CONSUMER.DELETE.{stream}.{name}")
        except JetStreamError as error:
            if error.err_code not in {NO_CONSUMER, NO_STREAM}:
                raise

    async def delete_recorded(self, stream: str, name: str, sequence: int) -> None:
        """Delete a consumer, unless it is of another record than the one of this number."""
        found = await self.find(stream, name)
        if found is not None and metadata_of(found).get(RECORD) in {None, str(sequence)}:
            await self.delete(stream, name)


def metadata_of(info: dict[str, Any]) -> dict[str, str]:
    """Give a consumer's metadata."""
    found: dict[str, str] | None = info["config"].get("metadata")
    return found or {}
