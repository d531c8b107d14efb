"""The conformance kit of the recipes: what is built on the coordination service for every engine."""

from asyncbackends.testing.recipes.elections import ElectionConformance
from asyncbackends.testing.recipes.groups import GroupConformance
from asyncbackends.testing.recipes.killed import KilledHoldersConformance
from asyncbackends.testing.recipes.locks import LockConformance
from asyncbackends.testing.recipes.lost import LostHoldersConformance
from asyncbackends.testing.recipes.paused import PausedHoldersConformance

__all__ = ("RecipesConformance", "RecipesFaultsConformance")


class RecipesConformance(
    LockConformance,
    ElectionConformance,
    GroupConformance,
    PausedHoldersConformance,
    KilledHoldersConformance,
):
    """What every recipe holds on an engine of the kind ``coordination``.

    Inherit it and give ``settings`` as for CoordinationConformance.
    """


class RecipesFaultsConformance(LostHoldersConformance):
    """What every recipe holds through lost sessions, links and replies.

    For a suite that can provoke them: give ``settings``, and ``faults`` as for
    CoordinationFaultsConformance.
    """
