"""How often a queue that does not count delivered a message, as far as is known here."""

from collections import OrderedDict
from typing import Final

__all__ = ("Counts",)

MOST: Final = 100_000


class Counts:
    """Deliveries by queue and message id, for all links of one wire; the oldest are forgotten.

    Classic queues say only that a delivery is not the first. What this process saw of a message
    is never more than what happened to it.
    """

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[str, str], int] = OrderedDict()

    def known(self, queue: str, message_id: str | None) -> int:
        """Give how often it was delivered before."""
        return 0 if message_id is None else self._counts.get((queue, message_id), 0)

    def note(self, queue: str, message_id: str | None, count: int) -> None:
        """Remember a message that goes back."""
        if message_id is None:
            return
        self._counts[queue, message_id] = count
        self._counts.move_to_end((queue, message_id))
        if len(self._counts) > MOST:
            self._counts.popitem(last=False)

    def forget(self, queue: str, message_id: str | None) -> None:
        """Forget a message that is done with."""
        if self._counts and message_id is not None:
            self._counts.pop((queue, message_id), None)
