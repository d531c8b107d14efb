"""What is built on the Protocols once, for every engine."""

from asyncbackends.recipes.election import Election, Term, master_election
from asyncbackends.recipes.group import Group, MemberEvent
from asyncbackends.recipes.lock import Held, Lock
from asyncbackends.recipes.membership import Membership
from asyncbackends.recipes.observing import Leader
from asyncbackends.recipes.updating import update_with

__all__ = (
    "Election",
    "Group",
    "Held",
    "Leader",
    "Lock",
    "MemberEvent",
    "Membership",
    "Term",
    "master_election",
    "update_with",
)
