"""What an indexed property is stored by: servers' indexes take only so many bytes. Pure."""

from hashlib import sha256
from typing import Final

__all__ = ("index_item",)

LONGEST: Final = 255


def index_item(key: str) -> str:
    """Give an ``index_key``, or in place of a long one what stands for it; no key begins so."""
    if len(key) <= LONGEST // 4:
        return key
    data = key.encode()
    return key if len(data) <= LONGEST else f"h:{sha256(data).hexdigest()}"
