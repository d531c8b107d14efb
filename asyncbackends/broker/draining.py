"""The last chance of what is in the outbox."""

import asyncio
import logging

from asyncbackends.broker.outbox import Outbox

__all__ = ("drain",)


async def drain(outbox: Outbox, seconds: float, logger: logging.Logger) -> None:
    """Wait until all in an outbox is answered, at most so long, and log what nobody else tells."""
    try:
        async with asyncio.timeout(seconds):
            await outbox.flush(seconds + 1)
    except TimeoutError:
        logger.warning("%d messages were not confirmed before the end", len(outbox))
    failures = len(outbox.failures())
    if failures:
        logger.warning("%d messages were not stored, or nobody knows; nobody asked", failures)
