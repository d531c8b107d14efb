"""What a queue was declared as, for engines whose broker does not tell it. Pure."""

import msgspec

from asyncbackends.broker.wire import QueueDeclaration
from asyncbackends.errors import DeclarationConflictError, ExchangeNotFoundError
from asyncbackends.protocols.messages import QueueOptions

__all__ = ("QueueRecord", "conflict", "missing_exchange")


class QueueRecord(msgspec.Struct, frozen=True):
    """One queue's exchange and options, as they are kept beside it."""

    exchange: str
    options: QueueOptions

    @classmethod
    def of(cls, declaration: QueueDeclaration) -> "QueueRecord":
        """Give what is to be kept of a declaration."""
        return cls(declaration.exchange, declaration.options)

    @classmethod
    def decoded(cls, text: bytes) -> "QueueRecord":
        """Read what :meth:`encoded` gave; what a newer version added is left out.

        :raises msgspec.MsgspecError: it is no record.
        """
        return msgspec.json.decode(text, type=cls)

    def encoded(self) -> bytes:
        """Give it as JSON."""
        return msgspec.json.encode(self)

    def check(self, declaration: QueueDeclaration, *, must_match: bool) -> None:
        """Hold a declaration against what is there.

        :raises DeclarationConflictError: the exchange differs; with ``must_match`` any option.
        """
        name = declaration.name
        if self.exchange != declaration.exchange:
            raise conflict("queue", name, "exchange", declaration.exchange, self.exchange)
        if must_match:
            for option in QueueOptions.__struct_fields__:
                wanted, there = getattr(declaration.options, option), getattr(self.options, option)
                if wanted != there:
                    raise conflict("queue", name, option, wanted, there)


def conflict(
    what: str, name: str, option: str, expected: object, actual: object
) -> DeclarationConflictError:
    """Give the error of something that is there with another property."""
    message = (
        f"{what} {name!r} is there with {option} = {actual!r}, not {expected!r}; "
        f"delete it first, or declare it as it is"
    )
    return DeclarationConflictError(message, name=name, expected=expected, actual=actual)


def missing_exchange(name: str, then: str) -> ExchangeNotFoundError:
    """Give the error of an exchange that is not there, and what follows from it."""
    return ExchangeNotFoundError(f"there is no exchange {name!r}{then}")
