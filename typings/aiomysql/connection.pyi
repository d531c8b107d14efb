from asyncio import StreamReader, StreamWriter
from ssl import SSLContext
from typing import Any

class _StreamReader(StreamReader):
    @property
    def eof_received(self) -> bool: ...

class Connection:
    server_capabilities: int
    _server_auth_plugin: str
    _reader: _StreamReader | None
    _writer: StreamWriter | None

    def __init__(
        self,
        host: str = ...,
        user: str | None = ...,
        password: str = ...,
        db: str | None = ...,
        port: int = ...,
        unix_socket: str | None = ...,
        charset: str = ...,
        *,
        client_flag: int = ...,
        autocommit: bool | None = ...,
        ssl: SSLContext | None = ...,
    ) -> None: ...
    def close(self) -> None: ...
    def thread_id(self) -> int: ...
    async def _connect(self) -> None: ...
    async def _get_server_information(self) -> None: ...
    async def _process_auth(self, plugin_name: bytes, auth_packet: Any) -> Any: ...
    async def _execute_command(self, command: int, sql: str | bytes) -> None: ...
