# What the mysql adapter uses of PyMySQL.
