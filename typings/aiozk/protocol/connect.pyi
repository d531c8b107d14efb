from typing import Self

from aiozk.protocol.request import Request

class ConnectRequest(Request): ...

class ConnectResponse:
    timeout: int
    session_id: int
    password: bytes
    @classmethod
    def deserialize(cls, raw_bytes: bytes) -> Self: ...
