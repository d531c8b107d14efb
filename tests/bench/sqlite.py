"""The sqlite engine: writes beside a bare writer thread, and opening a large file."""

from tests.bench import sqlite_open_page, sqlite_writes

__all__ = ("run",)


def run() -> None:
    """Measure both."""
    sqlite_writes.run()
    sqlite_open_page.run()
