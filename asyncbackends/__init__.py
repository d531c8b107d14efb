"""Async backend protocols for control planes: a configuration database with pluggable engines.

The message broker and the coordination service follow the same pattern.
"""

from asyncbackends.batch import Batch, Queued
from asyncbackends.opening import Backends, open_backends, open_config_database
from asyncbackends.protocols.backend import (
    Backend,
    ConnectionState,
    ConnectionStatus,
    Kind,
    ServerInfo,
)
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.guarantees import Guarantee, Limits
from asyncbackends.protocols.key_values import SupportsKeyValue
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
    "CollectionUpdate",
    "ConfigDatabase",
    "ConfigObject",
    "ConnectionState",
    "ConnectionStatus",
    "Fence",
    "Gap",
    "Guarantee",
    "Kind",
    "Limits",
    "MapProperty",
    "ObjectPage",
    "ObjectType",
    "Queued",
    "RefType",
    "Schema",
    "ServerInfo",
    "Settings",
    "SupportsKeyValue",
    "WriteResult",
    "load_settings",
    "open_backends",
    "open_config_database",
)
