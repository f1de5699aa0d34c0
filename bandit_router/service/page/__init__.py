"""``GET /map``: the map as a page, self-contained, from the files beside this one."""

from __future__ import annotations

from importlib import resources

from aiohttp import web

_FILES = {
    "map.html": "text/html",
    "map.css": "text/css",
    "map.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


async def page(request: web.Request) -> web.Response:
    """Return the page, or one of its files."""
    name = request.match_info.get("file", "map.html")
    if name not in _FILES:
        raise web.HTTPNotFound
    data = (resources.files(__package__) / name).read_bytes()
    return web.Response(body=data, content_type=_FILES[name], charset="utf-8", headers=_HEADERS)


PUBLIC = ("/map", "/map/")
"""Open to everybody: what they show is asked for with a key."""

ROUTES = (web.get("/map", page), web.get("/map/{file}", page))
"""Not in the OpenAPI document: a page is for people."""
