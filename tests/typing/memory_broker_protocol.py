"""A broker made of a wire implements the Protocol, and so does the memory engine's."""

from collections.abc import Callable, Sequence

from asyncbackends import MessageBroker
from asyncbackends.broker.wire_broker import WireBroker
from asyncbackends.options import BrokerOptions
from asyncbackends_memory.messaging.wire import create
from asyncbackends_memory.options import MemoryBrokerOptions

_: type[MessageBroker] = WireBroker[BrokerOptions]
make: Callable[[Sequence[str], MemoryBrokerOptions], MessageBroker] = create
