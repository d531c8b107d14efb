"""The conformance kit of calls: what ``asyncbackends.rpc`` needs of an engine's message broker."""

from asyncbackends.testing.rpc.calls import RpcCallsConformance
from asyncbackends.testing.rpc.lifecycle import RpcLifecycleConformance
from asyncbackends.testing.rpc.outages import RpcOutagesConformance
from asyncbackends.testing.rpc.refusals import RpcRefusalsConformance
from asyncbackends.testing.rpc.servers import RpcServersConformance
from asyncbackends.testing.rpc.topology import RpcTopologyConformance

__all__ = ("RpcConformance", "RpcOutagesConformance")


class RpcConformance(
    RpcCallsConformance,
    RpcRefusalsConformance,
    RpcServersConformance,
    RpcTopologyConformance,
    RpcLifecycleConformance,
):
    """All that calls have to hold over an engine of the kind ``message_broker``.

    Inherit it as the class of the broker itself: name the engine, and say in the fixture
    ``settings`` how it is opened. RpcOutagesConformance is for a suite that can break links.
    """
