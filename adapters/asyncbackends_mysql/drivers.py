"""The drivers that are installed."""

from typing import Final

from asyncbackends.errors import EngineUnavailableError
from asyncbackends_mysql.link import LinkFactory

__all__ = ("factory_of",)

EXTRAS: Final = {"aiomysql": "mysql", "asyncmy": "mysql-asyncmy"}
INSTALLED: Final[dict[str, LinkFactory]] = {}

try:
    from asyncbackends_mysql.asyncmy_link import asyncmy_link

    INSTALLED["asyncmy"] = INSTALLED["auto"] = asyncmy_link
except ImportError:
    pass
try:
    from asyncbackends_mysql.aiomysql_link import aiomysql_link

    INSTALLED["aiomysql"] = aiomysql_link
    INSTALLED.setdefault("auto", aiomysql_link)
except ImportError:
    if not INSTALLED:
        raise


def factory_of(driver: str) -> LinkFactory:
    """Give what logs in; ``auto`` is asyncmy where it is installed.

    :raises EngineUnavailableError: the driver is not installed.
    """
    factory = INSTALLED.get(driver)
    if factory is None:
        message = (
            f"driver = {driver}, and it is not installed; "
            f'pip install "asyncbackends[{EXTRAS[driver]}]"'
        )
        raise EngineUnavailableError(message)
    return factory
