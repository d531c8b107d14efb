# What the mysql adapter uses of asyncmy 0.2, whose own types are mostly missing.
