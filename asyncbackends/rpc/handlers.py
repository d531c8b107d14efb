"""The methods of a server: which there are, and what they are called with. Pure but for the call."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from inspect import Parameter
from typing import Any, TypeAlias

import msgspec

from asyncbackends.broker.delivery import Delivery
from asyncbackends.errors import InvalidRequestError
from asyncbackends.protocols.values import Json
from asyncbackends.rpc.failures import Failure
from asyncbackends.rpc.forms import Request

__all__ = ("Handler", "Handlers", "RefusedError", "RpcContext")

Handler: TypeAlias = Callable[..., Awaitable[Json]]
"""An async function of the parameters by name, which may take an RpcContext first."""


class RpcContext(msgspec.Struct, frozen=True):
    """What a handler is told of the request, as its one positional-only argument.

    ``redelivered`` is True when the request was delivered before: a server that died may have
    executed it, or a part of it. ``message_id`` is the same then.
    """

    method: str
    message_id: str | None
    redelivered: bool
    delivery_count: int
    expires_at: datetime | None
    """When the caller gives up, UTC by its clock; None where nobody waits."""
    wants_reply: bool
    """False for a cast and a fanout."""


class RefusedError(Exception):
    """The request is answered with ``failure``, and no handler runs."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class Handlers:
    """Async functions by the names of their methods."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        """Look at every function once.

        :raises InvalidRequestError: one is no async function, or cannot be called by names.
        """
        self._methods = {name: _Method(name, handler) for name, handler in handlers.items()}

    async def call(self, request: Request, delivery: Delivery) -> Json:
        """Run the handler.

        :raises RefusedError: there is none, or its parameters are others.
        """
        method = self._methods.get(request.method)
        if method is None:
            text = f"there is no method {request.method[:80]!r}"
            raise RefusedError(Failure("method", "MethodNotFoundError", text))
        return await method.call(request.params, delivery)


class _Method:
    def __init__(self, name: str, handler: Handler) -> None:
        if not inspect.iscoroutinefunction(handler) and not inspect.iscoroutinefunction(
            getattr(handler, "__call__", None)  # noqa: B004  # an object may have an async one
        ):
            message = f"the handler of {name!r} is no async function: {handler!r}"
            raise InvalidRequestError(message)
        self._name = name
        self._handler = handler
        self._signature = inspect.signature(handler)
        positional = [
            parameter.name
            for parameter in self._signature.parameters.values()
            if parameter.kind is Parameter.POSITIONAL_ONLY
        ]
        if len(positional) > 1:
            message = (
                f"the handler of {name!r} has the positional-only parameters "
                f"{', '.join(positional)}; only one, for the RpcContext, can be given"
            )
            raise InvalidRequestError(message)
        self._takes_context = bool(positional)

    async def call(self, params: Mapping[str, Any], delivery: Delivery) -> Json:
        given: list[RpcContext] = []
        if self._takes_context:
            context = RpcContext(
                self._name,
                delivery.message_id,
                delivery.redelivered,
                delivery.delivery_count,
                delivery.expires_at,
                delivery.reply_to is not None,
            )
            given.append(context)
        try:
            self._signature.bind(*given, **params)
        except TypeError as error:
            # The text names parameters, never a value.
            text = f"{self._name}: {error}"
            raise RefusedError(Failure("params", "InvalidParamsError", text)) from None
        return await self._handler(*given, **params)
