"""Calls to one server: who we are, and what its errors are."""

from collections.abc import Callable
from typing import Final

from asyncbackends.errors import AuthenticationFailedError, BackendError
from asyncbackends_etcd import requests, responses
from asyncbackends_etcd.account import Account
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


STORE: Final = frozenset({requests.RANGE, requests.TXN})


class Calls:
    """Makes calls over one connection, with the token of an account."""

    def __init__(
        self, connection: Http2Connection, authority: str, account: Account, *, secure: bool
    ) -> None:
        self._channel = GrpcChannel(connection)
        self._authority = authority
        self._secure = secure
        self._account = account
        self._blocks: dict[str, bytes] = {}
        self._blocks_token: str | None = None
        self.refused: Callable[[BackendError], None] = _nothing
        """Hears that the account is refused from now on."""

    @property
    def token(self) -> str | None:
        """What proves who we are."""
        return self._account.token

    @property
    def connection(self) -> Http2Connection:
        """What carries them."""
        return self._channel.connection

    async def ask(self, method: str, message: bytes, *, wrote: bool = False) -> bytes:
        """Give the answer to a call.

        :param wrote: it changes something, and does so also for who is cancelled meanwhile: what
            takes something away must not be lost.
        :raises BackendError: or SessionUnknownError.
        :raises RpcError: the history that was asked for is gone, or still to come.
        """
        (answer,) = await self.ask_all(method, message, wrote=wrote)
        return answer

    async def ask_all(self, method: str, *messages: bytes, wrote: bool = False) -> list[bytes]:
        """Give the answers to several calls that are made at once; see :meth:`ask`."""
        if method in STORE:
            await self._channel.settled()
        token = self.token
        try:
            return await self._channel.unary(self._block(method), *messages, goes_on=wrote)
        except (RpcError, StreamBrokenError) as error:
            if not self._may_renew(error):
                raise _ours(error, wrote=wrote) from error
        await self.renew(token)
        try:
            return await self._channel.unary(self._block(method), *messages, goes_on=wrote)
        except (RpcError, StreamBrokenError) as error:
            raise _ours(error, wrote=wrote) from error

    def _may_renew(self, error: Exception) -> bool:
        return isinstance(error, RpcError) and self._account.is_there and is_token_trouble(error)

    async def is_let_in(self, method: str, message: bytes) -> bool:
        """Make a call; False: the server wants another token than there is."""
        if self._account.is_there and self.token is None:
            return False
        try:
            await self._channel.unary(self._block(method), message)
        except (RpcError, StreamBrokenError) as error:
            if self._may_renew(error):
                return False
            raise _ours(error) from error
        return True

    async def renew(self, stale: str | None) -> None:
        """Get another token than one that is refused; once for all who need one.

        :raises AuthenticationFailedError: the account is refused.
        """
        account = self._account
        async with account.entering:
            if account.refused is not None:
                raise account.refused
            if account.token != stale or not account.is_there:
                return
            account.token = None
            try:
                block = self._block(requests.AUTHENTICATE)
                (answer,) = await self._channel.unary(block, account.request())
                account.token = responses.token(answer)
            except (RpcError, StreamBrokenError) as error:
                if isinstance(error, RpcError) and no_login(error):
                    return
                ours = _ours(error)
                if isinstance(ours, AuthenticationFailedError):
                    account.refused = ours
                    self.refused(ours)
                raise ours from error

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
        if self._blocks_token != self.token:
            self._blocks_token = self.token
            self._blocks.clear()
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
