"""nats-py's client, with a socket of ours and one life."""

import asyncio
from typing import Any, Final

from nats.aio.client import Client

from asyncbackends_nats.line import Line

__all__ = ("OneLife",)

CLOSING: Final = 0.4
"""Seconds for what is written last to leave, and for tasks to end."""


TASKS: Final = ("_reading_task", "_ping_interval_task", "_flusher_task")


class OneLife(Client):
    """Says hello, proves who we are and sends pings; frames do not pass it."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self._transport = line
        self._line = line

    @property
    def greeting(self) -> dict[str, Any]:
        """What the server said of itself."""
        return self._server_info

    async def end(self) -> None:
        """Let go of everything: its tasks end, and the socket, whatever the peer does."""
        tasks: list[asyncio.Task[Any]] = [
            task for name in TASKS if (task := getattr(self, name)) is not None
        ]
        self._line.ending = True
        try:
            async with asyncio.timeout(CLOSING):
                await self.close()
                self._line.close()
                await self._line.wait_closed()
        except TimeoutError:
            pass
        finally:
            self._line.abort()
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=CLOSING)
