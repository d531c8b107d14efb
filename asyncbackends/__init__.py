"""Async backend protocols for control planes, each with pluggable engines.

A configuration database, a message broker and a coordination service.
"""

from asyncbackends.batch import Batch, Queued
from asyncbackends.broker.delivery import Delivery
from asyncbackends.clock import Clock, ManualClock, SystemClock
from asyncbackends.opening import (
    Backends,
    open_backends,
    open_config_database,
    open_coordination,
    open_message_broker,
)
from asyncbackends.protocols.backend import (
    Backend,
    ConnectionState,
    ConnectionStatus,
    Kind,
    ServerInfo,
)
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.coordination import (
    DistributedCoordinationService,
    Session,
    SessionState,
    Transaction,
)
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.protocols.key_values import SupportsKeyValue
from asyncbackends.protocols.message_broker import MessageBroker, Subscription
from asyncbackends.protocols.messages import (
    Death,
    DeathReason,
    QueueOptions,
    Receipt,
    SubscribeOptions,
)
from asyncbackends.protocols.nodes import Node, NodeEvent, NodeStat, Ticket
from asyncbackends.protocols.values import (
    ALL_FIELDS,
    Change,
    CollectionUpdate,
    ConfigObject,
    Fence,
    Gap,
    ObjectPage,
    WriteResult,
)
from asyncbackends.schema import NO_PARENT, MapProperty, ObjectType, RefType, Schema
from asyncbackends.settings import Settings, load_settings

__all__ = (
    "ALL_FIELDS",
    "NO_PARENT",
    "Backend",
    "Backends",
    "Batch",
    "Change",
    "Clock",
    "CollectionUpdate",
    "ConfigDatabase",
    "ConfigObject",
    "ConnectionState",
    "ConnectionStatus",
    "Death",
    "DeathReason",
    "Delivery",
    "DistributedCoordinationService",
    "Fence",
    "Gap",
    "Guarantee",
    "Kind",
    "Limits",
    "ManualClock",
    "MapProperty",
    "MessageBroker",
    "Node",
    "NodeEvent",
    "NodeStat",
    "ObjectPage",
    "ObjectType",
    "QueueOptions",
    "Queued",
    "Receipt",
    "RefType",
    "Schema",
    "ServerInfo",
    "Session",
    "SessionState",
    "Settings",
    "SubscribeOptions",
    "Subscription",
    "SupportsKeyValue",
    "SystemClock",
    "Ticket",
    "Transaction",
    "WriteResult",
    "load_settings",
    "open_backends",
    "open_config_database",
    "open_coordination",
    "open_message_broker",
)
