"""What is built on the Protocols once, for every engine."""

from asyncbackends.recipes.updating import update_with

__all__ = ("update_with",)
