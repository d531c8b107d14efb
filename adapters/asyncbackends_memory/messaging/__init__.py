"""The message broker in this process's memory: the server, and the wire to it."""

__all__: tuple[str, ...] = ()
