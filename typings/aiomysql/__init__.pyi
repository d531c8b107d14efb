# What the mysql adapter uses of aiomysql 0.3, which has no types of its own.

from aiomysql.connection import Connection as Connection
