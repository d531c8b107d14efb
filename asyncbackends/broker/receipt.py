"""What is known of a message that was put into the outbox."""

from collections.abc import Generator
from typing import Any

from asyncbackends.broker.outbox import Outbox
from asyncbackends.broker.outbox_entries import Entry

__all__ = ("OutboxReceipt",)


class OutboxReceipt:
    """Implements :class:`asyncbackends.Receipt`."""

    __slots__ = ("_entry", "_outbox")

    def __init__(self, outbox: Outbox, entry: Entry) -> None:
        self._outbox = outbox
        self._entry = entry

    @property
    def message_id(self) -> str:
        return self._entry.message.message_id

    def done(self) -> bool:
        """See :class:`asyncbackends.Receipt`."""
        return self._entry.done

    def __await__(self) -> Generator[Any, None, str]:
        return self._outbox.answer(self._entry).__await__()
