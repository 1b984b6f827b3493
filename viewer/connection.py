"""Who may connect: so many in all, so many from one address, and nobody who takes for ever.

uvicorn bounds requests, but a connection on which no request is ever complete is none: hundreds of
them, each with a header that goes on and on, would take every file descriptor. Limits are in
`viewer/limits.py`.
"""

import asyncio
from collections import Counter as Tally
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

import h11
from prometheus_client import Counter, Gauge
from uvicorn.protocols.http.h11_impl import H11Protocol

from viewer.limits import MOST_CONNECTIONS, MOST_CONNECTIONS_OF_ONE, REQUEST_SECONDS

OPEN = Gauge("cradle_viewer_connections", "Connections that are open.")
REFUSED = Counter(
    "cradle_viewer_refused_connections_total", "Connections that were ended.", ["reason"]
)
_COMPLETE: Final = frozenset({h11.DONE, h11.MUST_CLOSE, h11.CLOSED, h11.ERROR})


class Door:
    """Counts who is inside. Used on the server's loop alone."""

    def __init__(self, trusted_proxies: list[str]) -> None:
        self._proxies = [ip_network(each) for each in trusted_proxies if _is_network(each)]
        self._trusts_all = "*" in trusted_proxies
        self._inside: Tally[str] = Tally()

    def enter(self, address: str) -> bool:
        """Whether one more from there may stay; if so, it is counted until it leaves."""
        visitor = visitor_of(address)
        if self._inside.total() >= MOST_CONNECTIONS:
            return self._refuse("all")
        if self._inside[visitor] >= MOST_CONNECTIONS_OF_ONE and not self._is_proxy(address):
            return self._refuse("one address")
        self._inside[visitor] += 1
        OPEN.set(self._inside.total())
        return True

    def leave(self, address: str) -> None:
        """One that had entered is gone."""
        visitor = visitor_of(address)
        self._inside[visitor] -= 1
        if not self._inside[visitor]:
            del self._inside[visitor]
        OPEN.set(self._inside.total())

    def _refuse(self, reason: str) -> bool:
        REFUSED.labels(reason).inc()
        return False

    def _is_proxy(self, address: str) -> bool:
        if self._trusts_all:
            return True
        try:
            visitor = ip_address(address)
        except ValueError:
            return False
        return any(visitor in proxies for proxies in self._proxies)


class Connection(H11Protocol):
    """One of uvicorn's, that must enter by the door and complete each request in time."""

    def __init__(self, *arguments: Any, door: Door, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._door = door
        self._is_inside = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._is_inside = self._door.enter(self._address)
        if self._is_inside:
            self._hurry()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._relax()
        if self._is_inside:
            self._is_inside = False
            self._door.leave(self._address)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state in _COMPLETE:
            self._relax()
        elif self._deadline is None:
            self._hurry()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        has_begun = bool(self.conn.trailing_data[0])  # a part of the next request
        if has_begun and self.conn.their_state not in _COMPLETE and self._deadline is None:
            self._hurry()

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def _hurry(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._too_slow)

    def _relax(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        REFUSED.labels("too slow").inc()
        self.transport.abort()


class Loop(asyncio.SelectorEventLoop):
    """The server's, which waits for TLS no longer than it should."""

    def __init__(self, handshake_seconds: float) -> None:
        super().__init__()
        self._handshake_seconds = handshake_seconds

    async def create_server(self, *arguments: Any, **named: Any) -> asyncio.Server:
        if named.get("ssl") is not None:
            named.setdefault("ssl_handshake_timeout", self._handshake_seconds)
        return await super().create_server(*arguments, **named)


def visitor_of(address: str) -> str:
    """Whom an address belongs to: of IPv6 everybody has a whole /64."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed) >> 64 << 64, 64)))


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True
