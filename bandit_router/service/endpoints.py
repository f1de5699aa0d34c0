"""``GET /endpoints``: how the places that serve the models are doing."""

from __future__ import annotations

from aiohttp import web

from ..providers.http import where
from . import body
from .keys import ENGINE, FLEET
from .openapi import Operation
from .wire import EndpointAnswer, EndpointsAnswer


async def endpoints(request: web.Request) -> web.Response:
    """Return every endpoint, whether it is asked, and what came of it since the start."""
    router = await request.app[ENGINE].wait()
    infirmary = request.app[FLEET].infirmary
    now = infirmary.clock()
    found = []
    for model in router.models.values():
        for endpoint in model.endpoints:
            health = infirmary.of(model, endpoint)
            whole, first_byte = health.latency
            found.append(
                EndpointAnswer(
                    model=model.name,
                    endpoint=where(endpoint),
                    kind=endpoint.kind,
                    circuit=health.state(now),
                    latency_ms=None if whole is None else 1000.0 * whole,
                    first_byte_ms=None if first_byte is None else 1000.0 * first_byte,
                    calls=dict(health.counts),
                )
            )
    return body.answer(EndpointsAnswer(endpoints=found))


OPERATIONS = (
    Operation(
        method="GET",
        path="/endpoints",
        handler=endpoints,
        summary="How the places that serve the models are doing",
        answer=EndpointsAnswer,
        errors=(503,),
    ),
)
