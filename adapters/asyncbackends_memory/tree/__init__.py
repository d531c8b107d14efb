"""The coordination service in this process's memory: the shared tree, and its clients."""

__all__ = ()
