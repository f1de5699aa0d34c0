"""Every key under which the application keeps something."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ..providers import Fleet
from .engine import Engine
from .metrics import Metrics
from .overload import Connections
from .watch import Watch

ENGINE: web.AppKey[Engine] = web.AppKey("engine", Engine)
"""What routes and learns; see `engine`."""

OPENAPI: web.AppKey[dict[str, Any]] = web.AppKey("openapi", dict[str, Any])
"""The OpenAPI document."""

CONNECTIONS: web.AppKey[Connections] = web.AppKey("connections", Connections)
"""Every open connection; see `overload`."""

FLEET: web.AppKey[Fleet] = web.AppKey("fleet", Fleet)
"""Calls upstream endpoints; see `providers.fleet`."""

WATCH: web.AppKey[Watch] = web.AppKey("watch", Watch)
"""What stands behind the pages; see `watch`."""

METRICS: web.AppKey[Metrics] = web.AppKey("metrics", Metrics)
"""The counters; see `metrics`."""

TENANT: web.AppKey[str] = web.AppKey("tenant", str)
"""Whose application it is, if it is a tenant's; see `tenants`."""

DECISION_ID = web.RequestKey("decision_id", str)
"""The decision that a request made or spoke of, where its answer has no header for it."""
