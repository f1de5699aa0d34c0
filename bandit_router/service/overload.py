"""Bounds: how many connections and requests at once, and how long each may take to come in."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import Any, cast

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ..config import ServerSettings
from .errors import Refused

_WORDS = (
    b'{"error": {"type": "unavailable", "message": "too many connections: try again in a while"}}'
)
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_WORDS), _WORDS)
)
_ENDLESS = ("/events",)
"""Streams that only wait; they have bounds of their own."""


_BODIES = 64
"""How many of the largest bodies may be held at once."""
_TAKEN = web.RequestKey("taken", int)


class _TurnedAway(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        told = cast(asyncio.WriteTransport, transport)  # uvloop's is none by descent
        told.write(_FULL)
        told.close()


class Bodies:
    """How many bytes of bodies are held for requests that are not answered yet.

    Those that come with their head, of 100 kB at most, are not counted.

    Parameters
    ----------
    most
        Bytes, beyond which more are refused.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    def take(self, request: web.Request, size: int) -> None:
        """Count bytes that have come for a request, or refuse it."""
        if self._held + size > self._most:
            raise Refused(503, f"{self._held:,} bytes of bodies are held already: try again")
        self._held += size
        request[_TAKEN] = request.get(_TAKEN, 0) + size

    def give_back(self, request: web.Request) -> None:
        """Count those of a request no more."""
        if self._held and _TAKEN in request:
            self._held -= request.pop(_TAKEN)


@dataclass(slots=True)
class _Connection:
    since: float  # it was made, or had a request that has been answered
    requests: int = 0  # that are being answered
    met: bool = False  # whether a request has come by it


class Connections:
    """Every open connection, since when it has been without a request, and the bodies that came.

    Parameters
    ----------
    settings
        `[server]`.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self.bodies = Bodies(_BODIES * settings.max_body_bytes)
        self._open: dict[Any, _Connection] = {}  # by what talks to it

    def admit(self, server: web.Server) -> asyncio.Protocol:
        """Return what talks to a new connection: the server, or a 503 when there are too many."""
        if len(self._open) >= self._settings.max_connections:
            self.reap()
        if len(self._open) >= self._settings.max_connections:
            return _TurnedAway()
        protocol = server()
        self._open[protocol] = _Connection(monotonic())
        return protocol

    @property
    def open(self) -> int:
        """How many there are."""
        return len(self._open)

    def begin(self, protocol: Any) -> None:
        """Note that a request has come in whole but for its body."""
        if (connection := self._open.get(protocol)) is not None:
            connection.requests += 1
            connection.met = True

    def end(self, protocol: Any) -> None:
        """Note that it has been answered."""
        if (connection := self._open.get(protocol)) is not None:
            connection.requests -= 1
            connection.since = monotonic()

    def reap(self) -> None:
        """Forget connections that are gone; close those that have been without a request long."""
        now = monotonic()
        for protocol, connection in list(self._open.items()):
            transport = protocol.transport
            waited = now - connection.since
            if transport is None and (connection.met or waited > 1.0):
                del self._open[protocol]  # gone; one that was just made has none yet
            elif transport is None or connection.requests:
                continue
            elif waited > self._settings.idle_timeout_s:
                transport.abort()

    async def watch(self) -> None:
        """Reap every second, until cancelled."""
        while True:
            await asyncio.sleep(min(1.0, self._settings.idle_timeout_s / 2))
            self.reap()


def bounded(settings: ServerSettings, connections: Connections) -> Middleware:
    """Return the middleware that lets only so many requests be answered at once."""
    count = 0

    @web.middleware
    async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal count
        protocol = request.protocol
        connections.begin(protocol)
        counts = request.path not in _ENDLESS
        try:
            if counts and count >= settings.max_requests:
                raise Refused(503, f"{count:,} requests are being answered already: try again")
            count += counts
            try:
                return await handler(request)
            finally:
                count -= counts
        finally:
            connections.bodies.give_back(request)
            connections.end(protocol)

    return counted
