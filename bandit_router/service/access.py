"""Who may do what: every request that needs one is made with an API key, and within its budget."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Iterable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ..store.keys import ApiKey, Scope
from .engine import Engine
from .keys import ENGINE
from .openapi import Operation

_KEY = web.RequestKey("key", ApiKey)


def key_of(request: web.Request) -> ApiKey | None:
    """Return the API key that a request was admitted with."""
    return request.get(_KEY)


def caller(request: web.Request) -> str | None:
    """Return the id of the API key that a request was admitted with."""
    key = key_of(request)
    return None if key is None else key.id


def is_admin(request: web.Request) -> bool:
    """Tell whether a request may see what is another key's."""
    key = key_of(request)
    return key is None or "admin" in key.scopes


def guard(operations: Iterable[Operation], public: Iterable[str]) -> Middleware:
    """Return the middleware that asks for keys.

    A route that is neither an operation nor `public` (a path, or the start of paths when it ends
    in a slash) takes an admin key: what somebody forgot to open stays shut.
    """
    scopes: dict[object, tuple[Scope, ...]] = {o.handler: o.scopes for o in operations}
    public = tuple(public)

    @web.middleware
    def guarded(request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        info = request.match_info
        if info.http_exception is None:
            needed = scopes.get(info.handler)
            if needed is None:
                needed = _of_others(request.path, public)
            engine = request.app[ENGINE]
            key = engine.keyring.admit(request, needed)
            if key is not None:
                request[_KEY] = key
                if request.method == "POST" and "route" in needed:
                    return _known(engine, key.id, request, handler)
        return handler(request)  # not awaited: a coroutine less for every request without a key

    return guarded


async def _known(
    engine: Engine, key: str, request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Let the log know of the keys, and this one spend what it has, before a decision."""
    await engine.tell_keys()
    engine.check_budget(key, time.time())
    return await handler(request)


def _of_others(path: str, public: Iterable[str]) -> tuple[Scope, ...]:
    """Return the scopes that a route which is no operation takes."""
    free = any(path.startswith(p) if p.endswith("/") else path == p for p in public)
    return () if free else ("admin",)
