"""Errors of the broker say which engine and which call they are of, wherever they come from."""

import pytest

from asyncbackends import open_message_broker
from asyncbackends.errors import (
    AlreadySettledError,
    BackendError,
    ExchangeNotFoundError,
    StaleDeliveryError,
)


async def test_errors_name_engine_and_operation() -> None:
    raised: list[BackendError] = []
    async with open_message_broker(engine="memory", endpoints="names") as broker:
        await broker.create_exchange("events")
        receipt = broker.publish_nowait({}, exchange="nowhere")
        with pytest.raises(ExchangeNotFoundError) as unknown:
            await receipt
        raised.append(unknown.value)
        _ = broker.publish_nowait({}, exchange="nowhere")
        with pytest.raises(ExceptionGroup) as failed:
            await broker.flush()
        (lost,) = failed.value.exceptions
        assert isinstance(lost, BackendError)
        raised.append(lost)
        async with broker.subscribe("events", "work") as deliveries:
            await broker.publish({}, exchange="events")
            await broker.publish({}, exchange="events")
            first, second = await deliveries.get(5), await deliveries.get(5)
            await first.ack()
            with pytest.raises(AlreadySettledError) as again:
                await first.nack()
            raised.append(again.value)
        with pytest.raises(StaleDeliveryError) as stale:
            await second.reject("late")
        raised.append(stale.value)
    assert [(error.engine, error.operation) for error in raised] == [
        ("memory", "publish"),
        ("memory", "publish"),
        ("memory", "nack"),
        ("memory", "reject"),
    ]
