"""Calls to one server: who we are, and what its errors are."""

import asyncio
from collections.abc import Callable
from typing import Final

from asyncbackends.errors import AuthenticationFailedError, BackendError
from asyncbackends.options import Secret
from asyncbackends_etcd import requests, responses
from asyncbackends_etcd.driver_errors import (
    failure,
    is_compacted,
    is_future,
    is_token_trouble,
    no_login,
)
from asyncbackends_etcd.grpc_channel import CallEnd, GrpcChannel, RpcError
from asyncbackends_etcd.http2_connection import Http2Connection
from asyncbackends_etcd.http2_headers import request_block
from asyncbackends_etcd.http2_stream import Http2Stream, StreamBrokenError

__all__ = ("Calls",)

WITH_LEADER: Final = {"hasleader": "true"}
"""A server without one says so at once."""


class Calls:
    """Makes calls over one connection, with the token of one account."""

    def __init__(
        self,
        connection: Http2Connection,
        authority: str,
        *,
        secure: bool,
        username: str | None,
        password: Secret | None,
    ) -> None:
        self._channel = GrpcChannel(connection)
        self._authority = authority
        self._secure = secure
        self._username = username
        self._password = password
        self._blocks: dict[str, bytes] = {}
        self._entering = asyncio.Lock()
        self._refused: BackendError | None = None
        self.token: str | None = None
        """What proves who we are."""
        self.refused: Callable[[BackendError], None] = _nothing
        """Hears that the account is refused from now on."""

    @property
    def connection(self) -> Http2Connection:
        """What carries them."""
        return self._channel.connection

    async def ask(self, method: str, message: bytes, *, wrote: bool = False) -> bytes:
        """Give the answer to a call.

        :param wrote: it changes something.
        :raises BackendError: or SessionUnknownError.
        :raises RpcError: the history that was asked for is gone, or still to come.
        """
        (answer,) = await self.ask_all(method, message, wrote=wrote)
        return answer

    async def ask_all(self, method: str, *messages: bytes, wrote: bool = False) -> list[bytes]:
        """Give the answers to several calls that are made at once; see :meth:`ask`."""
        token = self.token
        try:
            return await self._channel.unary(self._block(method), *messages)
        except (RpcError, StreamBrokenError) as error:
            if not self._may_renew(error):
                raise _ours(error, wrote=wrote) from error
        await self.renew(token)
        try:
            return await self._channel.unary(self._block(method), *messages)
        except (RpcError, StreamBrokenError) as error:
            raise _ours(error, wrote=wrote) from error

    def _may_renew(self, error: Exception) -> bool:
        return (
            isinstance(error, RpcError) and self._username is not None and is_token_trouble(error)
        )

    async def log_in(self) -> None:
        """Get the first token, where there is an account.

        :raises AuthenticationFailedError: it is refused.
        """
        if self._username is not None:
            await self.renew(None)

    async def renew(self, stale: str | None) -> None:
        """Get another token than one that is refused; once for all who need one.

        :raises AuthenticationFailedError: the account is refused.
        """
        async with self._entering:
            if self._refused is not None:
                raise self._refused
            if self.token != stale or self._username is None:
                return
            password = "" if self._password is None else self._password.reveal()
            message = requests.authenticate(self._username, password)
            try:
                self.token = None
                self._blocks.clear()
                block = self._block(requests.AUTHENTICATE)
                (answer,) = await self._channel.unary(block, message)
                self.token = responses.token(answer)
            except (RpcError, StreamBrokenError) as error:
                if isinstance(error, RpcError) and no_login(error):
                    return
                ours = _ours(error)
                if isinstance(ours, AuthenticationFailedError):
                    self._refused = ours
                    self.refused(ours)
                raise ours from error
            finally:
                self._blocks.clear()

    def stream(
        self,
        method: str,
        message: bytes,
        heard: Callable[[bytes], None],
        ended: Callable[[CallEnd], None],
    ) -> Http2Stream:
        """Begin a call that goes on.

        :raises ConnectionLostError: the connection is over.
        """
        try:
            return self._channel.stream(self._block(method), message, heard, ended)
        except StreamBrokenError as error:
            raise _ours(error) from error

    def send(self, stream: Http2Stream, message: bytes) -> None:
        """Send another message of a call that goes on."""
        self._channel.send(stream, message)

    def cancel(self, stream: Http2Stream) -> None:
        """End a call that goes on."""
        self.connection.cancel(stream)

    def _block(self, method: str) -> bytes:
        block = self._blocks.get(method)
        if block is None:
            block = request_block(
                method,
                self._authority,
                secure=self._secure,
                headers=WITH_LEADER if method != requests.AUTHENTICATE else {},
                token=self.token,
            )
            self._blocks[method] = block
        return block


def _ours(error: Exception, *, wrote: bool = False) -> Exception:
    if isinstance(error, RpcError) and (is_compacted(error) or is_future(error)):
        return error
    return failure(error, wrote=wrote) or error


def _nothing(_: BackendError) -> None:
    pass
