"""Positions of list elements: stable strings with one order on every engine."""

import re

__all__ = ("next_position", "position_from_sort_key", "position_order", "position_sort_key")

APPENDED = re.compile(r"(.*)~(\d{12})", re.DOTALL | re.ASCII)


def _is_number(position: str) -> bool:
    return position.isascii() and position.isdigit()


def position_order(position: str) -> tuple[int, int, str]:
    """Give the sort key in Python: all-digit positions as numbers, then the others as text."""
    if _is_number(position):
        return (0, int(position), position)
    return (1, 0, position)


def position_sort_key(position: str) -> str:
    """Give text that sorts, code point by code point, as :func:`position_order` does.

    For engines that keep elements in a sorted index: the position itself is read back from it.
    """
    if not _is_number(position):
        return f"1{position}"
    digits = position.lstrip("0") or "0"
    return f"0{len(digits):03d}{digits}/{position}"


def position_from_sort_key(key: str) -> str:
    """Give the position whose :func:`position_sort_key` is ``key``."""
    return key[1:] if key[0] == "1" else key.partition("/")[2]


def next_position(highest: str | None) -> str:
    """Give the position that ``add`` takes after the highest one there is."""
    if highest is None:
        return "0"
    if _is_number(highest):
        return str(int(highest) + 1)
    appended = APPENDED.fullmatch(highest)
    # One more than twelve nines would sort before them.
    if appended is None or appended[2] == "9" * 12:
        return f"{highest}~{0:012d}"
    return f"{appended[1]}~{int(appended[2]) + 1:012d}"
