"""Dumps of a configuration database: our own form, and the two that OpenContrail has.

Everything but ``dumping``, ``loading`` and ``files`` is pure.
"""

__all__ = ()
