"""How long to wait before the next try."""

import random

import msgspec

from asyncbackends.options import BackendOptions, ServerOptions

__all__ = ("Backoff", "between_links")


class Backoff(msgspec.Struct, frozen=True):
    """Seconds that double from ``first`` to ``most``, with chance so that many do not meet."""

    first: float = 0.1
    most: float = 30.0

    def ceiling(self, tries: int) -> float:
        """Give the most that is waited after so many tries, 1 or more."""
        return min(self.most, self.first * 2.0 ** min(tries - 1, 60))

    def full_jitter(self, tries: int) -> float:
        """Give anything from 0 to the ceiling: for links, where all clients lose them at once."""
        return random.uniform(0, self.ceiling(tries))  # noqa: S311  # spreads load, hides nothing

    def half_jitter(self, tries: int) -> float:
        """Give at least half of the ceiling: for work that should rest before it is tried again."""
        return self.ceiling(tries) * random.uniform(0.5, 1)  # noqa: S311  # the same


def between_links(options: BackendOptions) -> Backoff:
    """Give the back-off of a backend that has lost its link."""
    if isinstance(options, ServerOptions):
        return Backoff(options.reconnect_min, max(options.reconnect_min, options.reconnect_max))
    return Backoff(0.05, 5.0)
