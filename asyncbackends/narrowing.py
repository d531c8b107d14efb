"""Type guards for values that callers hand in: what is known of a dict or list of anything."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeGuard

__all__ = ("is_dict", "is_list", "is_mapping", "is_of_kind")


def is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    """Say whether a value is a dict."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Say whether a value is a list."""
    return isinstance(value, list)


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Say whether a value is a mapping."""
    return isinstance(value, Mapping)


@lru_cache(maxsize=256)
def is_of_kind(kind: type, protocol: type) -> bool:
    """Say whether a class has the methods of a Protocol, which takes ``isinstance`` long to find."""
    return issubclass(kind, protocol)
