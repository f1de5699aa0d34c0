"""Health, readiness, the API's own description, and the way in."""

from __future__ import annotations

import msgspec
from aiohttp import web
from msgspec import UNSET

from . import body
from .keys import ENGINE, OPENAPI
from .openapi import Operation
from .version import version
from .wire import Freshness, Health, Index, Ready


async def index(request: web.Request) -> web.Response:
    """Say what this is and where its description lies."""
    return body.answer(Index(version=version()))


async def healthz(request: web.Request) -> web.Response:
    """Say that the process answers, whatever else it still loads."""
    return body.answer(Health())


async def readyz(request: web.Request) -> web.Response:
    """Say whether every request can be answered at once."""
    engine = request.app[ENGINE]
    router, copied = engine.check_ready(), engine.freshness()
    fresh = UNSET if copied is None else Freshness(**msgspec.structs.asdict(copied))
    return body.answer(Ready(seq=router.seq, models=len(router.models), freshness=fresh))


async def openapi(request: web.Request) -> web.Response:
    """Return the OpenAPI document."""
    data = msgspec.json.encode(request.app[OPENAPI])
    return web.Response(body=data, content_type="application/json")


OPERATIONS = (
    Operation(
        method="GET", path="/", handler=index, summary="What this is", answer=Index, scopes=()
    ),
    Operation(
        method="GET",
        path="/healthz",
        handler=healthz,
        summary="Whether the process answers",
        answer=Health,
        scopes=(),
    ),
    Operation(
        method="GET",
        path="/readyz",
        handler=readyz,
        summary="Whether all is compiled, the log folded and the encoder warm",
        answer=Ready,
        errors=(503,),
        scopes=(),
    ),
    Operation(
        method="GET",
        path="/openapi.json",
        handler=openapi,
        summary="This document",
        scopes=(),
    ),
)
