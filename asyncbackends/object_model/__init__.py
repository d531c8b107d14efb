"""The rules shared by every ConfigDatabase engine: pure functions and values, no I/O."""

__all__ = ()
