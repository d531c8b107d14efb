"""How the operating system gives up a peer that says nothing, a call in flight or not.

That is a host that is gone or a cable that is cut. A server that is there and only does not answer
is given up by the deadline of each call.
"""

import asyncio
import socket
from typing import Any, Final

__all__ = ("give_up_when_silent",)

QUESTIONS: Final = 3
"""So many are left unanswered before an idle connection is given up."""


def give_up_when_silent(
    transport: asyncio.BaseTransport, seconds: float, *, reads: bool = True
) -> None:
    """Let a connection end when its peer's host has been silent for so long.

    :param reads: the peer reads all the time; one that may stop for a while, and is no less there
        for that, would be given up too.
    """
    held: Any = transport.get_extra_info("socket")
    if held is None or held.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    held.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    interval = max(1, round(seconds / (QUESTIONS + 1)))
    for name, value in (
        ("TCP_KEEPIDLE", interval),
        ("TCP_KEEPINTVL", interval),
        ("TCP_KEEPCNT", QUESTIONS),
        ("TCP_USER_TIMEOUT", round(seconds * 1000) if reads else 0),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            held.setsockopt(socket.IPPROTO_TCP, option, value)
