"""The pages: the map and the overview, from the files beside this one, and their data."""

from __future__ import annotations

from .assets import ASSETS
from .data import DATA

PUBLIC = tuple(route.path for route in ASSETS)
"""Open to everybody: what they show is asked for with a key."""

ROUTES = (*ASSETS, *DATA)
"""Not in the OpenAPI document: pages are for people, and their data may change with them."""
