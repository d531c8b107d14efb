"""Calls from one process to others, with a reply or without, over any message broker.

Stands on :class:`asyncbackends.MessageBroker` with DIRECT_ROUTING alone.
"""

from asyncbackends.rpc.client import RpcClient
from asyncbackends.rpc.failures import (
    HandlerError,
    InvalidParamsError,
    MethodNotFoundError,
    RemoteError,
    RpcError,
)
from asyncbackends.rpc.handlers import RpcContext
from asyncbackends.rpc.server import RpcServer
from asyncbackends.rpc.topic import RpcBroker

__all__ = (
    "HandlerError",
    "InvalidParamsError",
    "MethodNotFoundError",
    "RemoteError",
    "RpcBroker",
    "RpcClient",
    "RpcContext",
    "RpcError",
    "RpcServer",
)
