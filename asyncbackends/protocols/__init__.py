"""The contracts and their value types: the only place where semantics are documented."""

__all__ = ()
