"""The aiohttp application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Middleware

from ..config import Config
from ..embedding import Embedder
from ..providers import Fleet, check_installed, with_list_prices
from ..store import Place, file_of, is_shared, place_of
from . import (
    apikeys,
    body,
    browsers,
    clusters,
    endpoints,
    feedback,
    gateway,
    killswitch,
    models,
    operations,
    page,
    routing,
    scrape,
    signals,
)
from .access import guard
from .advisor import Advisor
from .demo import demo_config
from .errors import errors_as_json, go_ahead
from .gateway.record import DECISION
from .keys import CONNECTIONS, ENGINE, FLEET, METRICS, OPENAPI, TENANT, WATCH
from .metrics import Metrics
from .openapi import document
from .opening import OUTBOX, embedder_of, open_engine, open_learner
from .overload import Connections, bounded
from .scrape import Gauges
from .telemetry import observed
from .tenants import Tenants, go_ahead_was_given
from .version import version
from .watch import Watch

OPERATIONS = (
    *operations.OPERATIONS,
    *scrape.OPERATIONS,
    *routing.OPERATIONS,
    *gateway.OPERATIONS,
    *feedback.OPERATIONS,
    *models.OPERATIONS,
    *endpoints.OPERATIONS,
    *killswitch.OPERATIONS,
    *apikeys.OPERATIONS,
    *clusters.OPERATIONS,
    *signals.OPERATIONS,
)
"""Every endpoint."""

SERVER: dict[str, Any] = {
    "access_log": None,
    "auto_decompress": False,  # compressed bodies are refused: no small one may unfold to a big one
}
"""How aiohttp serves the application."""


def create_app(
    config: Config,
    *,
    db: Place,
    demo: bool = False,
    embedder: Embedder | None = None,
    outbox: Path | None = None,
    learns: bool = True,
) -> web.Application:
    """Return the application; the databases are opened when it starts.

    With `[tenants.NAME]` there is one for each of them, and the one that is returned hands
    requests over to them: see `service.tenants`.

    Parameters
    ----------
    config
        Settings and models.
    db
        The database file; made if it is not there. Or the URL of a PostgreSQL database that other
        processes may use too: see docs/scale-out.md.
    demo
        Route the bundled demo fleet instead of the models of `config`.
    embedder
        Text to vector; None for the one that the settings name.
    outbox
        With a shared database, the file that keeps what it has not got yet; None:
        ``bandit-router-outbox.db``.
    learns
        With a shared database, whether this process is a candidate for the learner.

    Raises
    ------
    StoreError
        At its start, if the database cannot be opened (`StoreHeld`: another process writes).
    ConfigError
        At its start, if a setting or a model cannot be used.
    """
    if demo:
        config = demo_config(config)
    connections = Connections(config.settings.server)
    if not config.tenants:
        return _application(config, db, connections, demo, embedder, outbox, learns)
    outbox = outbox or OUTBOX
    embedders = {config.settings.embedder: embedder or embedder_of(config)}
    apps = {}
    for name, tenant in config.tenants.items():
        same = tenant.settings.embedder  # its weights are loaded once
        if same not in embedders:
            embedders[same] = embedder_of(tenant)
        place, box = place_of(name, db), file_of(name, outbox)
        apps[name] = _application(tenant, place, connections, False, embedders[same], box, learns)
    tenants = Tenants(apps)
    embedder = embedders[config.settings.embedder]
    first = (errors_as_json, tenants.middleware())
    app = _application(config, db, connections, False, embedder, outbox, learns, first)
    app.cleanup_ctx.append(tenants.run)
    app.on_shutdown.append(tenants.end_streams)
    return app


def _application(
    config: Config,
    db: Place,
    connections: Connections,
    demo: bool,
    embedder: Embedder | None,
    outbox: Path | None,
    learns: bool,
    first: Sequence[Middleware] = (),
) -> web.Application:
    """Return the application of one engine; what is `first` sees requests before it."""
    check_installed(config.models)
    config = with_list_prices(config)
    origins = config.settings.server.cors_origins
    metrics = Metrics()
    app = web.Application(
        middlewares=[
            *first,
            observed(metrics),
            *([browsers.cors(origins)] if origins else []),
            errors_as_json,
            bounded(config.settings.server, connections),
            guard(OPERATIONS, page.PUBLIC),
        ],
        client_max_size=config.settings.server.max_body_bytes,
    )
    expect = go_ahead if config.tenant is None else go_ahead_was_given
    for o in OPERATIONS:
        app.add_routes([web.route(o.method, o.path, o.handler, expect_handler=expect)])
    app.add_routes(page.ROUTES)
    app.on_response_prepare.extend([browsers.secure, browsers.allow, _link_feedback])
    app[CONNECTIONS] = connections
    if config.tenant is not None:
        app[TENANT] = config.tenant
    app[body.BODY_SECONDS] = config.settings.server.body_timeout_s
    app[OPENAPI] = document(OPERATIONS, version=version())

    async def engine(app: web.Application) -> AsyncIterator[None]:
        app[ENGINE] = open_engine(config, db, embedder=embedder, demo=demo, outbox=outbox)
        app[ENGINE].listen(app[METRICS].written)
        app[ENGINE].start()
        yield
        await app[ENGINE].close()

    async def learner(app: web.Application) -> AsyncIterator[None]:
        candidate = open_learner(config, str(db), embedder)
        candidate.start()
        yield
        await asyncio.to_thread(candidate.close)

    app[METRICS] = metrics
    metrics.registry.register(Gauges(app))

    async def watch(app: web.Application) -> AsyncIterator[None]:
        app[WATCH] = Watch(app[ENGINE])
        yield
        await asyncio.to_thread(app[WATCH].save)

    async def end_streams(app: web.Application) -> None:
        await app[WATCH].close()

    async def fleet(app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            app[FLEET] = Fleet(session, config.settings.server.upstream_timeout_s)
            app[ENGINE].world.ready = app[FLEET].infirmary.ready
            app[ENGINE].world.advisor = Advisor(session, config.settings.llm_judge)
            async with signals.attached(app, session):
                yield

    if is_shared(db) and learns:
        app.cleanup_ctx.append(learner)  # first, so that it ends last
    app.cleanup_ctx.append(engine)
    app.cleanup_ctx.append(watch)
    app.cleanup_ctx.append(fleet)
    gateway.prepare(app)
    app.on_shutdown.append(end_streams)  # before open requests are waited for
    return app


async def _link_feedback(request: web.Request, response: web.StreamResponse) -> None:
    """Put a signed link beside the id of a decision (`on_response_prepare`)."""
    id_ = response.headers.get(DECISION)
    if id_ and (link := request.app[ENGINE].links.make(id_)):
        response.headers["x-bandit-router-feedback-url"] = link
