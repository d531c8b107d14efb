"""Where a server listens. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from asyncbackends.errors import ConfigurationError

__all__ = ("Endpoint", "check_ports", "parsed_endpoint")

HIGHEST_PORT = 65535


class Endpoint(NamedTuple):
    """A host and port, or the absolute path of a socket."""

    host: str
    port: int
    socket: str | None = None


def parsed_endpoint(text: str, default_port: int) -> Endpoint:
    """Read ``host``, ``host:port``, ``[v6]``, ``[v6]:port`` or an absolute path.

    :raises ConfigurationError: it is none of them, or holds credentials or a scheme; a secret in
        it is not repeated.
    """
    if text.startswith("/"):
        return Endpoint("", default_port, text)
    if "@" in text or "://" in text:
        message = (
            "an endpoint is host[:port], [v6]:port or the path of a socket, without a scheme and "
            "without credentials; those are the options username and password"
        )
        raise ConfigurationError(message)
    host, port = text, str(default_port)
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise _malformed(text, "a bracketed host is [v6] or [v6]:port")
        port = rest[1:] if rest else str(default_port)
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    elif ":" in text:
        raise _malformed(text, f"the address of a version 6 host stands in brackets: [{text}]")
    if not host or any(character.isspace() or character == "/" for character in host):
        raise _malformed(text, "the host is missing" if not host else "no host is named so")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= HIGHEST_PORT):
        raise _malformed(text, f"a port is a number from 1 to {HIGHEST_PORT}")
    return Endpoint(host, int(port))


def check_ports(endpoints: Sequence[str], default_port: int, server: str) -> None:
    """See that these are endpoints of a server that listens on no socket of its machine.

    :raises ConfigurationError: one is a path, or none at all.
    """
    if not endpoints:
        message = f"{server} needs endpoints: host[:port], more of them with commas between"
        raise ConfigurationError(message)
    for endpoint in endpoints:
        if parsed_endpoint(endpoint, default_port).socket is not None:
            message = f"the endpoint {endpoint!r} is a path, and {server} listens on ports alone"
            raise ConfigurationError(message)


def _malformed(text: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"the endpoint {text!r} cannot be used: {reason}")
