"""Narrows decoded JSON to the two shapes that have something in them. Pure."""

from typing import Any, TypeGuard

__all__ = ("as_dict", "as_list")


def as_dict(value: object) -> dict[str, Any] | None:
    """Give a JSON object as it is, None for everything else."""
    return value if _is_dict(value) else None


def as_list(value: object) -> list[Any] | None:
    """Give a JSON array as it is, None for everything else."""
    return value if _is_list(value) else None


def _is_dict(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
