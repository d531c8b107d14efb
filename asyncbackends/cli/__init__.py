"""The command line: ``asyncbackends`` or ``python -m asyncbackends``."""

from asyncbackends.cli.command_line import main

__all__ = ("main",)
