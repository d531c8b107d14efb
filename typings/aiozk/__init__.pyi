# What the adapter uses of aiozk, which has no types of its own.
