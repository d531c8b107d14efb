from asyncio import Transport
from collections.abc import Callable, Mapping, Sequence
from ssl import SSLContext
from typing import Any

class MySQLResult:
    rows: Sequence[Sequence[Any]] | None
    has_next: int

class Connection:
    server_capabilities: int
    _auth_plugin_name: str
    _transport: Transport | None
    _result: MySQLResult
    _next_seq_id: int

    def __init__(
        self,
        *,
        user: str | None = ...,
        password: str = ...,
        host: str | None = ...,
        database: str | None = ...,
        unix_socket: str | None = ...,
        port: int = ...,
        charset: str = ...,
        conv: Mapping[int, Callable[[bytes], Any]] | None = ...,
        client_flag: int = ...,
        connect_timeout: float = ...,
        autocommit: bool | None = ...,
        ssl: SSLContext | None = ...,
    ) -> None: ...
    async def connect(self) -> Any: ...
    def close(self) -> None: ...
    async def ensure_closed(self) -> None: ...
    def thread_id(self) -> int: ...
    async def query(self, sql: str) -> Any: ...
    async def next_result(self) -> Any: ...
    @property
    def _stream_broken(self) -> bool: ...
    async def _read_query_result(self) -> None: ...
    async def _get_server_information(self) -> None: ...
    async def _process_auth(self, plugin_name: bytes, auth_packet: Any) -> Any: ...
