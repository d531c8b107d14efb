"""What an engine's suite supplies, so that the kit can break links and answers."""

from typing import Protocol

__all__ = ("LinkFaults",)


class LinkFaults(Protocol):
    """Faults between every client of the kit and the broker, on demand."""

    def drop_connection(self) -> None:
        """Cut all links, and let none come back until :meth:`restore_connection`."""
        ...

    def restore_connection(self) -> None:
        """Let the links come back."""
        ...

    def drop_publishing(self) -> None:
        """Cut the links for publishing, once; they come back by themselves."""
        ...

    def drop_consuming(self) -> None:
        """Cut the links for consuming, once; they come back by themselves."""
        ...

    def mute_publishing(self) -> None:
        """Lose whatever is sent on the present links for publishing, until they are cut."""
        ...

    def hold_confirms(self) -> None:
        """Let messages be stored, and not confirmed until :meth:`release_confirms`."""
        ...

    def release_confirms(self) -> None:
        """Confirm again; what was held back on a link that is gone is lost."""
        ...

    def lose_confirms(self, count: int) -> None:
        """Let the next messages, so many, be stored and never be confirmed on this link."""
        ...

    def refuse_next(self) -> None:
        """Let the next message be refused."""
        ...

    def lose_settles(self, count: int) -> None:
        """Lose so many of the next answers of consumers."""
        ...

    def drop_in_settle(self, after: int) -> None:
        """Cut a link in the middle of answers sent together, when so many have arrived."""
        ...

    def block(self) -> None:
        """Let the broker take no messages until :meth:`unblock`."""
        ...

    def unblock(self) -> None:
        """Let it take messages again."""
        ...

    def close_at(self, message_id: str) -> None:
        """Let the broker close the link whenever this message comes, which is not stored."""
        ...

    def lose_messages(self, name: str) -> None:
        """Lose what waits in a queue, which goes on, by the name that the kit gave it."""
        ...

    def delete_queue(self, name: str) -> None:
        """Delete a queue as a third party does, by the name that the kit gave it."""
        ...

    def delete_exchange(self, name: str) -> None:
        """Delete an exchange as a third party does, by the name that the kit gave it."""
        ...

    def restart(self) -> None:
        """Restart the broker: what is not durable is gone."""
        ...

    def clear(self) -> None:
        """End all faults."""
        ...
