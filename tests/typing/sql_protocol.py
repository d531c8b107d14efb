"""What the SQL engines share implements the Protocol."""

from asyncbackends import ConfigDatabase
from asyncbackends.sql.database import SqlConfigDatabase

_: type[ConfigDatabase] = SqlConfigDatabase
