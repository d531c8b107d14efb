"""The core of every message broker: outbox, settling, limits and dead letters, pure of any wire.

An engine supplies a :class:`asyncbackends.broker.wire.Wire`, and
:class:`asyncbackends.broker.wire_broker.WireBroker` makes a message broker of it.
"""

__all__ = ()
