"""TOML text from plain values; the standard library only reads it. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from asyncbackends.narrowing import is_list, is_mapping

__all__ = ("toml_document", "toml_value")

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def toml_document(content: Mapping[str, Any]) -> str:
    """Give a TOML document: mappings become tables, everything else keys; None is refused."""
    return "\n".join(_table((), content)).strip("\n") + "\n"


def _table(path: tuple[str, ...], content: Mapping[str, Any]) -> Iterator[str]:
    plain = {key: value for key, value in content.items() if not is_mapping(value)}
    tables = {key: value for key, value in content.items() if is_mapping(value)}
    if path and (plain or not tables):
        yield f"\n[{'.'.join(map(_key, path))}]"
    for key, value in plain.items():
        yield f"{_key(key)} = {toml_value(value)}"
    for key, value in tables.items():
        yield from _table((*path, key), value)


def _key(key: str) -> str:
    return key if BARE_KEY.fullmatch(key) else _text(key)


def toml_value(value: Any) -> str:
    """Give one value: text, number, boolean or a list of these."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return _text(value)
        case _ if is_list(value):
            return f"[{', '.join(map(toml_value, value))}]"
        case _:
            message = f"TOML has no form for {type(value).__name__}"
            raise TypeError(message)


def _text(text: str) -> str:
    escaped = (
        ESCAPES.get(character, character)
        if (character >= " " and character != "\x7f") or character in ESCAPES
        else f"\\u{ord(character):04x}"
        for character in text
    )
    return f'"{"".join(escaped)}"'
