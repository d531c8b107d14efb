"""The sqlite engine implements the Protocol."""

from asyncbackends import ConfigDatabase
from asyncbackends_sqlite.database import SqliteConfigDatabase

_: type[ConfigDatabase] = SqliteConfigDatabase
