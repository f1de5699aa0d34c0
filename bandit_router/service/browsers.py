"""What browsers are told: security headers, and which sites' pages may call."""

from __future__ import annotations

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer that has no such header of its own."""

SERVER = "bandit-router"
_EXPOSED = (
    "x-bandit-router-decision-id, x-bandit-router-model, x-bandit-router-cluster, "
    "x-bandit-router-feedback-url, Retry-After"
)
_MINUTES = "600"
_ALLOWED = web.RequestKey("allowed", str)


async def secure(request: web.Request, response: web.StreamResponse) -> None:
    """Add the security headers that a handler has not set itself (`on_response_prepare`)."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = SERVER


def cors(origins: tuple[str, ...]) -> Middleware:
    """Return the middleware that lets pages of `origins` call, and answers their preflights."""

    @web.middleware
    async def shared(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or origin not in origins:
            return await handler(request)
        asked = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
        if request.method == "OPTIONS" and asked is not None:
            response: web.StreamResponse = web.Response(status=204)
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = "GET, POST, PUT, PATCH, DELETE"
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = (
                "Authorization, Content-Type, x-bandit-router-session"
            )
            response.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = _MINUTES
        else:
            request[_ALLOWED] = origin
            return await handler(request)
        _allow(response, origin)
        return response

    return shared


async def allow(request: web.Request, response: web.StreamResponse) -> None:
    """Tell the browser that the page may read the answer (`on_response_prepare`)."""
    if origin := request.get(_ALLOWED):
        _allow(response, origin)
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED


def _allow(response: web.StreamResponse, origin: str) -> None:
    response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
    response.headers[hdrs.VARY] = "Origin"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
