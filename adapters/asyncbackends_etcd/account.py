"""Who we are, for all links of one backend: a token is got once, and used as long as it is taken."""

import asyncio

from asyncbackends.errors import AuthenticationFailedError
from asyncbackends.options import Secret
from asyncbackends_etcd import requests

__all__ = ("Account",)


class Account:
    """A name, a password, and the token that the service gave for them.

    The members of a cluster know each other's tokens, so a new link needs no login: that costs a
    server 0.1 s of its CPU.
    """

    def __init__(self, username: str | None, password: Secret | None) -> None:
        self._username = username
        self._password = password
        self.token: str | None = None
        self.refused: AuthenticationFailedError | None = None
        """Why it is never tried again."""
        self.entering = asyncio.Lock()
        """Who holds it gets a token for all."""

    @property
    def is_there(self) -> bool:
        """Say whether anybody has to log in."""
        return self._username is not None

    def request(self) -> bytes:
        """Give what a token is asked for by."""
        password = "" if self._password is None else self._password.reveal()
        return requests.authenticate(self._username or "", password)
