"""The pages: the map and the overview, from the files beside this one, their data; the API."""

from __future__ import annotations

from aiohttp import web

from .assets import ASSETS
from .data import DATA
from .reference import reference

_OPEN = (*ASSETS, web.get("/docs", reference))

PUBLIC = tuple(route.path for route in _OPEN)
"""Open to everybody: what they show is asked for with a key."""

ROUTES = (*_OPEN, *DATA)
"""Not in the OpenAPI document: pages are for people, and their data may change with them."""
