"""``GET /metrics``: the counters, and gauges that are read when Prometheus asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiohttp import web
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from ..exceptions import BanditRouterError
from ..providers.http import where
from ..router import Router
from .engine import Engine
from .keys import ENGINE, FLEET, METRICS, WATCH
from .metrics import PREFIX, Bounded
from .openapi import Operation
from .recorder import Freshness
from .version import version

_ENDPOINTS = 200


class Gauges:
    """The state of the service as it is now; see ``prometheus_client.registry.Collector``."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._endpoint = Bounded(_ENDPOINTS)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield every gauge."""
        engine = self._app[ENGINE]
        yield _gauge("info", "The release that runs.", [((version(),), 1)], "version")
        router, ready = _router(engine)
        yield _gauge("ready", "Whether every request can be answered at once.", [((), ready)])
        yield _gauge("watchers", "Readers of /events.", [((), self._app[WATCH].readers)])
        if router is None:
            return
        yield from _copied(engine.freshness())
        yield _gauge("log_events", "Events in the log.", [((), router.seq)])
        available = sum(model.available for model in router.models.values())
        counts = [(("yes",), available), (("no",), len(router.models) - available)]
        yield _gauge("models", "Models, by whether they are available.", counts, "available")
        yield _gauge("clusters", "Live clusters, by level.", _clusters(router), "level")
        terms = router.utility()
        yield _gauge("cost_weight", "The cost weight now.", [((), terms.cost_weight)])
        killed = int(router.killed is not None)
        yield _gauge("kill_switch", "Whether one model is given everything.", [((), killed)])
        yield from self._endpoints(router)

    def _endpoints(self, router: Router) -> Iterator[GaugeMetricFamily]:
        infirmary = self._app[FLEET].infirmary
        now = infirmary.clock()
        rows: dict[tuple[str, ...], float] = {}
        for model, endpoint, health in infirmary.known():
            if model in router.models:
                labels = (model, self._endpoint(where(endpoint)))
                rows[labels] = max(rows.get(labels, 0.0), health.state(now) != "closed")
        help_ = "Whether an endpoint is left alone after failures."
        yield _gauge("endpoint_open", help_, list(rows.items()), "model", "endpoint")


def _copied(found: Freshness | None) -> Iterator[GaugeMetricFamily]:
    """Yield how old a replica's state is; nothing where the state is no copy."""
    if found is None:
        return
    help_ = "Whether the replica's state is too old, or nobody learns."
    yield _gauge("stale", help_, [((), found.stale)])
    yield _gauge("outbox_events", "Events that wait for the database.", [((), found.pending)])
    if found.age_s is not None:
        help_ = "How long ago the replica's state was that of the log."
        yield _gauge("state_age_seconds", help_, [((), found.age_s)])


def _router(engine: Engine) -> tuple[Router | None, int]:
    try:
        return engine.check_ready(), 1
    except BanditRouterError:
        pass
    try:
        return engine.router, 0
    except BanditRouterError:
        return None, 0


def _clusters(router: Router) -> list[tuple[tuple[str, ...], float]]:
    policy = router.strategies.mapped
    if policy is None or policy.map is None:
        return []
    levels = enumerate(policy.map.levels)
    return [((str(depth),), len(level.view()[0])) for depth, level in levels]


def _gauge(name: str, help_: str, rows: Any, *labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", help_, labels=labels)
    for values, number in rows:
        family.add_metric(values, float(number))
    return family


async def metrics(request: web.Request) -> web.Response:
    """Return every metric in Prometheus' text format."""
    body = generate_latest(request.app[METRICS].registry)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


OPERATIONS = (
    Operation(
        method="GET",
        path="/metrics",
        handler=metrics,
        summary="What happened, for Prometheus (text)",
        scopes=("metrics", "admin"),
    ),
)
