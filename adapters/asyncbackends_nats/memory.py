"""What outlives the links of one broker."""

__all__ = ("Delays", "Memory", "Place")

Place = tuple[str, str]
"""Stream and consumer."""

Delays = dict[int, float]
"""Until when a message is held back that was returned with a delay, by its number."""


class Memory:
    """What the links of one broker leave to those after them."""

    def __init__(self) -> None:
        self.private: dict[str, str] = {}
        """The exchanges of private queues, by their names."""
        self.makers: set[str] = set()
        """The marks of consumers that were ordered, and are perhaps made."""
        self.orphans: dict[Place, dict[bytes, float]] = {}
        """The ack subjects of what was unsettled when a link was lost, and when that was."""
        self.delays: dict[Place, Delays] = {}
