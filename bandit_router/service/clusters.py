"""``GET /clusters``, ``GET /clusters/{id}`` and ``GET /lineage``: the map as data."""

from __future__ import annotations

import asyncio

from aiohttp import web

from ..exceptions import InvalidInput
from ..views import ClusterView
from . import body
from .errors import Refused
from .keys import ENGINE
from .openapi import Link, Operation, Parameter
from .wire import ClustersAnswer, LineageAnswer

PAGE = 1000
AT_ONCE = 10
"""Clusters described before other requests have their turn."""


async def clusters(request: web.Request) -> web.Response:
    """Return every live cluster."""
    router = await request.app[ENGINE].wait()
    found = []
    for view in router.each_cluster():
        found.append(view)
        if len(found) % AT_ONCE == 0:
            await asyncio.sleep(0)  # a large map must not keep prompts waiting
    terms = router.utility()
    return body.answer(
        ClustersAnswer(
            clusters=found,
            cost_weight=terms.cost_weight,
            reference_cost_usd=terms.reference_cost_usd,
        )
    )


async def cluster(request: web.Request) -> web.Response:
    """Return one live cluster."""
    router = await request.app[ENGINE].wait()
    text = body.path_text(request, "id")
    try:
        found = router.cluster(int(text))
    except (ValueError, LookupError):
        raise Refused(404, f"no live cluster {text!r}; /lineage tells what became of it") from None
    return body.answer(found)


async def lineage(request: web.Request) -> web.Response:
    """Return what became of clusters, oldest first, a page at a time."""
    store = request.app[ENGINE].store
    after = _whole(request, "after", default=0, least=0, most=2**53)
    limit = _whole(request, "limit", default=PAGE, least=1, most=PAGE)
    found = await asyncio.to_thread(store.lineage, after=after, limit=limit)
    more = found[-1].seq if len(found) >= limit else None
    return body.answer(LineageAnswer(lineage=found, next=more))


def _whole(request: web.Request, name: str, *, default: int, least: int, most: int) -> int:
    text = request.query.get(name, str(default))
    # The length first: int() itself refuses to read thousands of digits.
    if text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most:
        return int(text)
    raise InvalidInput(f"{name} must be a whole number between {least} and {most}", name)


OPERATIONS = (
    Operation(
        method="GET",
        path="/clusters",
        handler=clusters,
        summary="The map: every live cluster and what is believed of each arm there",
        answer=ClustersAnswer,
        errors=(503,),
        links=(Link("cluster", "clusters/0/id", "id"),),
    ),
    Operation(
        method="GET",
        path="/clusters/{id}",
        handler=cluster,
        summary="One live cluster",
        answer=ClusterView,
        errors=(404, 503),
    ),
    Operation(
        method="GET",
        path="/lineage",
        handler=lineage,
        summary="What became of clusters: born, merged, split, moved, faded, drifted",
        answer=LineageAnswer,
        errors=(422, 503),
        parameters=(
            Parameter(
                "after",
                "Only what events with a greater sequence number caused.",
                {"type": "integer", "minimum": 0, "maximum": 2**53, "default": 0},
            ),
            Parameter(
                "limit",
                "About how many on a page; what one event caused is not cut.",
                {"type": "integer", "minimum": 1, "maximum": PAGE, "default": PAGE},
            ),
        ),
    ),
)
