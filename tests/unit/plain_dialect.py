"""Neutral SQL as it is written."""

from typing import Any

__all__ = ("PlainDialect",)


class PlainDialect:
    """Renders nothing, so that tests see the neutral statement."""

    def rendered(self, statement: str, namespace: str) -> str:
        return statement

    def id(self, uuid: str) -> Any:
        return uuid
