"""How a command opens what belongs to others without disturbing them."""

import msgspec

from asyncbackends.options import BrokerOptions, ServerBrokerOptions
from asyncbackends.registry import Resolved

__all__ = ("without_consuming",)


def without_consuming(resolved: Resolved) -> Resolved:
    """Give it without the option ``queue``, whose messages connecting would begin to take."""
    if not isinstance(resolved.options, (BrokerOptions, ServerBrokerOptions)):
        return resolved
    return msgspec.structs.replace(
        resolved, options=msgspec.structs.replace(resolved.options, queue=None)
    )
