"""A consumer that is a process: `python -m tests.faults.broker_process`, with an order on stdin.

The order is JSON: the settings of the broker (in no argument, for they hold a password), the
exchange, the queue, the prefetch, the ack_wait, and how many messages to hold before any is
acked. Each delivery is told on stdout before it is handled, and each ack before it is made.
"""

import asyncio
import os
import sys

import msgspec

from asyncbackends import SubscribeOptions, open_message_broker


def tell(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def main() -> None:
    order = msgspec.json.decode(sys.stdin.buffer.read())
    options = SubscribeOptions(prefetch=order["prefetch"], ack_wait=order["ack_wait"])
    async with (
        open_message_broker(**order["settings"]) as broker,
        broker.subscribe(order["exchange"], order["queue"], options=options) as deliveries,
    ):
        tell("open")
        held = [await anext(aiter(deliveries)) for _ in range(order["hold"])]
        for delivery in held:
            tell("got", delivery["n"])
        for delivery in held:
            # Told first: what is killed before it acks is delivered again, and that is no harm.
            tell("acks", delivery["n"])
            await delivery.ack()
            await asyncio.sleep(0.005)
        # It has nothing more to say, and is killed.
        await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main())
