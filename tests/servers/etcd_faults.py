"""Faults between etcd clients and a real server: what the coordination kit asks of SessionFaults."""

import asyncio
import json

from tests.servers.etcd_link import EtcdLink
from tests.servers.fault_links import Link
from tests.servers.fault_proxy import FaultProxy
from tests.servers.server import Server

__all__ = ("EtcdFaults",)


class EtcdFaults(FaultProxy):
    """``with EtcdFaults(server) as faults``: clients connect to ``faults.endpoint``."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.endpoint, None)
        self.freezes_renewals = False
        self.lost_replies = 0
        self.lost_events = 0

    def make_link(self) -> Link:
        """Make one for a client that has just come."""
        return EtcdLink(self)

    async def remove_what_is_not_durable(self) -> None:
        """All is durable, leases included."""

    def expire_session(self, session_id: str) -> None:
        """Revoke a lease behind its client's back, as the server does when its time is over."""
        self.run(self._ask("/v3/lease/revoke", {"ID": str(int(session_id, 16))}))

    async def _ask(self, path: str, request: dict[str, str]) -> None:
        """Ask the gateway, which speaks JSON."""
        host, port = self._upstream
        content = json.dumps(request).encode()
        reader, writer = await asyncio.open_connection(host, port)
        try:
            head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
            writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
            said = await reader.read()
            if not said.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"{path}: {said!r}")
        finally:
            writer.close()
            await writer.wait_closed()

    def freeze_renewals(self) -> None:
        """Let renewals of leases reach nobody, until :meth:`thaw_renewals`."""
        self.call(lambda: setattr(self, "freezes_renewals", True))

    def thaw_renewals(self) -> None:
        """Let renewals pass again; those that were lost stay so."""
        self.call(lambda: setattr(self, "freezes_renewals", False))

    def lose_reply(self, operation: str) -> None:
        """Lose the reply to the next write that is applied, with its link."""
        self.call(lambda: setattr(self, "lost_replies", 1))

    def drop_events(self, count: int) -> None:
        """Lose the next event with its stream, and so all that come after it."""
        self.call(lambda: setattr(self, "lost_events", count))

    def clear(self) -> None:
        """End all faults."""
        super().clear()

        def clear() -> None:
            self.freezes_renewals = False
            self.lost_replies = self.lost_events = 0

        self.call(clear)
