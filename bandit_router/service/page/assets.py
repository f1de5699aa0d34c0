"""``GET /map``, ``GET /map/overview`` and the files that they are made of."""

from __future__ import annotations

from importlib import resources

from aiohttp import web
from aiohttp.typedefs import Handler

TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""Of every page: nothing but this host's own files, in no frame."""


def _read() -> dict[str, bytes]:
    folder = (resources.files(__package__) / "static").iterdir()
    return {f.name: f.read_bytes() for f in folder if _ending(f.name) in TYPES}


def _ending(name: str) -> str:
    return "." + name.rsplit(".", 1)[-1]


FILES = _read()
"""What is served: names and contents, read once."""


def _serving(name: str) -> Handler:
    async def file(request: web.Request) -> web.Response:
        kind = TYPES[_ending(name)]
        return web.Response(body=FILES[name], content_type=kind, charset="utf-8", headers=HEADERS)

    return file


ASSETS = (
    web.get("/map", _serving("map.html")),
    web.get("/map/overview", _serving("overview.html")),
    web.get("/favicon.ico", _serving("icon.svg")),
    *(web.get(f"/map/{name}", _serving(name)) for name in sorted(FILES) if name[-5:] != ".html"),
)
"""The pages and their files."""
