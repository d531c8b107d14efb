"""Which schema a target needs to hold what its source holds."""

from asyncbackends.errors import ConfigurationError
from asyncbackends.interchange.copying_sides import Side
from asyncbackends.schema import Schema

__all__ = ("schema_to_set",)


def schema_to_set(source: Side, target: Side) -> Schema | None:
    """Give the schema to set in the target, None if it can stay as it is.

    :raises ConfigurationError: the source has none, or neither is a superset of the other.
    """
    wanted, stored = source.database.schema, target.database.schema
    if not wanted.types:
        message = f"{source} has no types, so there is nothing to copy; is it the right one?"
        raise ConfigurationError(message)
    if stored.difference(wanted) is None:
        return None
    difference = wanted.difference(stored) if stored.types else None
    if difference is None:
        return wanted
    message = (
        f"{target} has a schema that neither holds the source's nor is held by it: {difference}"
    )
    raise ConfigurationError(message)
