"""What every coordination engine shares: paths, transactions, sessions, pending events.

Pure of any wire; an engine supplies a :class:`~asyncbackends.coordination.keeping.SessionService`
and applies operations.
"""

__all__ = ()
