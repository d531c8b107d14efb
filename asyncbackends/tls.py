"""TLS as a backend's options ask for it, the same for every adapter."""

import ssl
from typing import Any

from asyncbackends.errors import ConfigurationError
from asyncbackends.options import ServerOptions

__all__ = ("tls_context",)


class _NamedContext(ssl.SSLContext):
    """Checks the server's certificate for one name, whatever host the driver passes on."""

    name: str

    def wrap_bio(self, *args: Any, **others: Any) -> ssl.SSLObject:
        return super().wrap_bio(*args, **(others | {"server_hostname": self.name}))


def tls_context(options: ServerOptions) -> ssl.SSLContext | None:
    """Give the context that verifies the server, or None without TLS; it reads files.

    ``tls_server_name`` holds for links over asyncio and uvloop, not for plain sockets.

    :raises ConfigurationError: a file cannot be used; naming the option.
    """
    if options.tls == "off":
        return None
    if options.tls_server_name is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
        context.name = options.tls_server_name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.tls_ca_file is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(options.tls_ca_file)
        except OSError as error:
            raise _unusable("tls_ca_file", options.tls_ca_file, error) from error
    if options.tls_cert_file is not None:
        try:
            # Without the empty password a key that has one would be asked for on the terminal.
            context.load_cert_chain(options.tls_cert_file, options.tls_key_file, password="")
        except (OSError, ValueError) as error:
            raise _unusable("tls_cert_file", options.tls_cert_file, error) from error
    elif options.tls_key_file is not None:
        message = "tls_key_file is given without tls_cert_file"
        raise ConfigurationError(message)
    return context


def _unusable(option: str, path: str, error: Exception) -> ConfigurationError:
    # An SSLError is an OSError whose text names OpenSSL's sources.
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return ConfigurationError(f"{option}: {path} cannot be used: {reason}")
